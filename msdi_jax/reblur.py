"""Stage 1: learn the degradation representation by reblurring and deblurring with it.

The generator deblurs the blurry image (L1) and reblurs the sharp one (adversarially, with
feature matching and, when VGG19's weights are at hand, a perceptual term).
"""

import jax
import jax.numpy as jnp
import ml_collections
from flax import nnx

from msdi_jax import losses, optimise
from msdi_jax.discriminator import MultiscaleDiscriminator
from msdi_jax.joint_net import Joint, ReblurDeblurNet
from msdi_jax.stage import Batch, Stage, unit_range
from msdi_jax.state import Arrays, State, merge, split
from msdi_jax.vgg import VGG19


def make_network(config: ml_collections.ConfigDict, rngs: nnx.Rngs) -> ReblurDeblurNet:
    return ReblurDeblurNet(
        config.width,
        hidden=config.hidden or None,
        batch_norm_groups=config.reblur.batch_norm_groups,
        rngs=rngs,
    )


def make_discriminator(config: ml_collections.ConfigDict, rngs: nnx.Rngs):
    return MultiscaleDiscriminator(config.width, rngs=rngs)


def stage(config: ml_collections.ConfigDict, vgg: Arrays | None = None) -> Stage:
    """Stage 1 of `config` (fields: `configs/base.py`).

    Args:
        config: width, hidden, and the fields of `config.reblur`.
        vgg: arrays of `VGG19`; without them there is no perceptual term.
    """
    settings = config.reblur
    graph, *_ = split(nnx.eval_shape(lambda: make_network(config, nnx.Rngs(0))))
    judge_graph, *_ = split(nnx.eval_shape(lambda: make_discriminator(config, nnx.Rngs(0))))
    vgg_graph, *_ = split(
        nnx.eval_shape(lambda: VGG19(normalise=settings.vgg_normalise, rngs=nnx.Rngs(0)))
    )
    adam = optimise.adam(settings)

    def init(key: jax.Array) -> State:
        rngs = nnx.Rngs(key)
        generator = split(make_network(config, rngs))
        judge = split(make_discriminator(config, rngs))
        params = {"generator": generator.params, "discriminator": judge.params}
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            stats={"generator": generator.stats, "discriminator": judge.stats},
            opt={name: adam.init(tree) for name, tree in params.items()},
            frozen={} if vgg is None else {"vgg": vgg},
        )

    def reconstruction(
        frozen: Arrays, output: Joint, blurry: jax.Array, sharp: jax.Array
    ) -> dict[str, jax.Array]:
        terms = {"l1": settings.l1_weight * losses.l1(output.deblurred, sharp)}
        if "vgg" in frozen:
            network = merge(vgg_graph, frozen["vgg"])
            distance = losses.perceptual(network(output.reblurred), network(blurry))
            terms["perceptual"] = settings.perceptual_weight * distance
        return terms

    def generator_step(state: State, blurry: jax.Array, sharp: jax.Array):
        """Returns the state with a moved generator, and the loss terms."""

        def loss(params: Arrays):
            generator = merge(graph, params, state.stats["generator"], training=True)
            judge = merge(
                judge_graph,
                state.params["discriminator"],
                state.stats["discriminator"],
                training=True,
            )
            output = generator(blurry, sharp)
            fake, real = _verdicts(judge, sharp, output.reblurred, blurry)
            terms = {
                "hinge_generator": losses.hinge_generator(fake),
                "feature_matching": settings.feature_matching_weight
                * losses.feature_matching(fake, real),
                **reconstruction(state.frozen, output, blurry, sharp),
            }
            stats = {"generator": split(generator).stats, "discriminator": split(judge).stats}
            return sum(terms.values()), (terms, stats)

        gradients, (terms, stats) = jax.grad(loss, has_aux=True)(state.params["generator"])
        rate = settings.learning_rate
        if settings.anneal_generator:
            rate = optimise.cosine_rate(state.step, settings)
        scalars = {**terms, "learning_rate_generator": jnp.asarray(rate)}
        return _moved(state, "generator", gradients, stats, rate, scalars)

    def discriminator_step(state: State, blurry: jax.Array, sharp: jax.Array):
        """Judges a fresh forward of the moved generator."""
        generator = merge(graph, state.params["generator"], state.stats["generator"], training=True)
        reblurred = jax.lax.stop_gradient(generator(blurry, sharp).reblurred)

        def loss(params: Arrays):
            judge = merge(judge_graph, params, state.stats["discriminator"], training=True)
            fake, real = _verdicts(judge, sharp, reblurred, blurry)
            terms = {
                "hinge_fake": losses.hinge_discriminator(fake, real=False),
                "hinge_real": losses.hinge_discriminator(real, real=True),
            }
            stats = {"generator": split(generator).stats, "discriminator": split(judge).stats}
            return sum(terms.values()), (terms, stats)

        gradients, (terms, stats) = jax.grad(loss, has_aux=True)(state.params["discriminator"])
        rate = optimise.cosine_rate(state.step, settings)
        scalars = {**terms, "learning_rate_discriminator": rate}
        return _moved(state, "discriminator", gradients, stats, rate, scalars)

    def _moved(state: State, name: str, gradients: Arrays, stats: Arrays, rate, scalars: dict):
        new = optimise.update(
            adam,
            gradients,
            state.params[name],
            state.opt[name],
            rate=rate,
            clip_norm=settings.clip_norm,
        )
        params, opt = state.params | {name: new.params}, state.opt | {name: new.opt}
        scalars[f"gradient_norm_{name}"] = new.gradient_norm
        return State(state.step, params, stats, opt, state.frozen), scalars

    def train_step(state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
        blurry, sharp = unit_range(batch["blurry"]), unit_range(batch["sharp"])
        state, generator_scalars = generator_step(state, blurry, sharp)
        state, scalars = discriminator_step(state, blurry, sharp)
        state = State(state.step + 1, state.params, state.stats, state.opt, state.frozen)
        return state, generator_scalars | scalars

    def held_out(state: State, batch: Batch) -> dict[str, jax.Array]:
        """Reconstruction only: the adversarial terms measure the opponent too."""
        blurry, sharp = unit_range(batch["blurry"]), unit_range(batch["sharp"])
        output = network(state)(blurry, sharp)
        terms = reconstruction(state.frozen, output, blurry, sharp)
        terms["l1_reblurred"] = settings.l1_weight * losses.l1(output.reblurred, blurry)
        return terms | {"loss": sum(terms.values())}

    def network(state: State) -> ReblurDeblurNet:
        return merge(graph, state.params["generator"], state.stats["generator"])

    return Stage(init, train_step, held_out, network)


def _verdicts(judge: nnx.Module, sharp: jax.Array, fake: jax.Array, real: jax.Array):
    """The discriminator's features of the pairs (sharp, fake) and (sharp, real), in one batch."""
    pairs = jnp.concatenate(
        [jnp.concatenate([sharp, fake], axis=-1), jnp.concatenate([sharp, real], axis=-1)]
    )
    found = judge(pairs)
    count = len(sharp)
    return (
        [[x[:count] for x in features] for features in found],
        [[x[count:] for x in features] for features in found],
    )
