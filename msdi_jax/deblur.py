"""Stage 2: train MSDI-Net on a frozen degradation encoder and pyramid.

Loss: half the negative PSNR of both outputs, plus the L1 distance of five shallow encoder
features between the sharp and the deblurred image.
"""

import jax
import jax.numpy as jnp
import ml_collections
from flax import nnx

from msdi_jax import losses, optimise
from msdi_jax.deblur_net import Deblurred, MSDINet
from msdi_jax.degradation import ShallowEncoder
from msdi_jax.stage import Batch, Stage, unit_range
from msdi_jax.state import Arrays, State, merge, split


def make_network(config: ml_collections.ConfigDict, rngs: nnx.Rngs) -> MSDINet:
    return MSDINet(config.width, version=config.version, hidden=config.hidden or None, rngs=rngs)


def stage(config: ml_collections.ConfigDict, degradation: Arrays, features: Arrays) -> Stage:
    """Stage 2 of `config` (fields: `configs/base.py`).

    Args:
        config: width, hidden, version, and the fields of `config.deblur`.
        degradation: arrays of the `DegradationEstimator` to freeze.
        features: arrays of the `ShallowEncoder` whose features are compared. The published
            recipe takes version 1's, also to train version 2.
    """
    settings = config.deblur
    abstract = nnx.eval_shape(lambda: make_network(config, nnx.Rngs(0)))
    graph, *_ = nnx.split(abstract, nnx.PathContains("degradation"), nnx.Param, ...)
    feature_graph, *_ = split(
        nnx.eval_shape(lambda: ShallowEncoder(config.width, rngs=nnx.Rngs(0)))
    )
    adam = optimise.adam(settings)

    def init(key: jax.Array) -> State:
        network = make_network(config, nnx.Rngs(key))
        _, _, params, stats = nnx.split(network, nnx.PathContains("degradation"), nnx.Param, ...)
        params = nnx.to_pure_dict(params)
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            stats=nnx.to_pure_dict(stats),
            opt=adam.init(params),
            # Copies: the features may be the encoder's own first layers, and steps donate both.
            frozen=jax.tree.map(jnp.copy, {"degradation": degradation, "features": features}),
        )

    def whole(state: State, params: Arrays, *, training: bool) -> MSDINet:
        network = merge(
            graph,
            {"degradation": state.frozen["degradation"]},
            params,
            state.stats,
            training=training,
        )
        network.degradation.eval()
        return network

    def loss_terms(state: State, output: Deblurred, sharp: jax.Array) -> dict[str, jax.Array]:
        encoder = merge(feature_graph, state.frozen["features"])
        psnr = sum(0.5 * losses.psnr_loss(image, sharp) for image in output)
        features = losses.feature_l1(encoder(sharp), encoder(output.deblurred))
        return {"psnr_loss": psnr, "feature_loss": settings.feature_weight * features}

    def train_step(state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
        blurry, sharp = unit_range(batch["blurry"]), unit_range(batch["sharp"])

        def loss(params: Arrays):
            network = whole(state, params, training=True)
            terms = loss_terms(state, network(blurry), sharp)
            _, _, _, stats = nnx.split(network, nnx.PathContains("degradation"), nnx.Param, ...)
            return sum(terms.values()), (terms, nnx.to_pure_dict(stats))

        gradients, (terms, stats) = jax.grad(loss, has_aux=True)(state.params)
        rate = optimise.cosine_rate(state.step, settings)
        new = optimise.update(
            adam, gradients, state.params, state.opt, rate=rate, clip_norm=settings.clip_norm
        )
        scalars = terms | {"gradient_norm": new.gradient_norm, "learning_rate": rate}
        return State(state.step + 1, new.params, stats, new.opt, state.frozen), scalars

    def held_out(state: State, batch: Batch) -> dict[str, jax.Array]:
        output = network(state)(unit_range(batch["blurry"]))
        terms = loss_terms(state, output, unit_range(batch["sharp"]))
        return terms | {"loss": sum(terms.values())}

    def network(state: State) -> MSDINet:
        return whole(state, state.params, training=False)

    return Stage(init, train_step, held_out, network)
