"""Stage 2: train a deblurring network, MSDI-Net on a frozen degradation encoder and pyramid.

Loss: the negative PSNR, mean over the outputs, plus the L1 distance of five shallow encoder
features between the sharp and the deblurred image. Networks without a degradation encoder, NAFNet
and HINet, need no frozen weights; with `feature_weight` 0 the loss needs none either.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array

from msdi_jax.models import ESTIMATING, Architecture
from msdi_jax.models.architecture import KINDS
from msdi_jax.networks.degradation import CELL, Degradation, ShallowEncoder, local_contrast
from msdi_jax.networks.functional import Arrays, Parts, TraceSafeRngs, abstract, merge, split
from msdi_jax.networks.initialization import calibrate_modulation, start_from_input
from msdi_jax.runtime.mesh import gathered
from msdi_jax.training import losses, optimizer
from msdi_jax.training.stage import (
    Batch,
    Scalars,
    cast,
    check_settings,
    degradation_of,
    moving_average,
    optimizer_step,
    pair_of,
    spectral_scalars,
)
from msdi_jax.training.state import State

FROZEN = nnx.PathContains("degradation")


class DeblurStage:
    """Stage 2 of `config` (fields: `configs/base.py`); see `stage.Stage`.

    Args:
        config: width, hidden, version, compute_dtype, and the fields of `config.deblur`.
        degradation: arrays of the `DegradationEstimator` to freeze, or to start from; None for a
            network without one.
        features: arrays of the `ShallowEncoder` whose features are compared, if any are. The
            published recipe also uses that of version 1 to train version 2.
        start: network whose weights training starts from, instead of random weights.
        joint: joint network for `augmentation.reblurred`.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        degradation: Arrays | None = None,
        features: Arrays | None = None,
        start: nnx.Module | None = None,
        joint: Parts | None = None,
    ):
        self.config, self.settings, self.start = config, config.deblur, start
        self.architecture = Architecture.from_config(config, "deblur")
        self.modulated = self.architecture.kind in ESTIMATING
        self.degradation = degradation
        self.frozen = {} if features is None else {"features": features}
        if self.modulated and not self.settings.train_encoder:
            self.frozen["degradation"] = degradation
        if joint is not None:
            self.joint_graph = joint.graph
            self.frozen["joint"] = {"params": joint.params, "stats": joint.stats}
        self.graph, *_ = self._split(abstract(self._make_network))
        self.feature_graph, *_ = split(
            abstract(lambda keys: ShallowEncoder(config.width, native=config.native, rngs=keys))
        )

    @staticmethod
    def check(config: ml_collections.ConfigDict, mesh: Mesh) -> None:
        check_settings("deblur", config, mesh)
        architecture = Architecture.from_config(config, "deblur")
        architecture.check(KINDS[architecture.kind].config_paths)
        if config.deblur.psnr_floor <= 0:
            raise ValueError(f"deblur.psnr_floor={config.deblur.psnr_floor:g} must be above 0")
        _check_context(config)
        _check_unrelated(config.deblur)
        _check_reblurred(config)
        if architecture.kind not in ESTIMATING:
            _check_unmodulated(config)

    def _make_network(self, rngs: nnx.Rngs) -> nnx.Module:
        return self.architecture.build(rngs, remat=self.config.remat)

    def init(self, key: jax.Array) -> State:
        rngs = TraceSafeRngs(key)
        network = self.start or self._make_network(rngs)
        if self.config.initial == "calibrated" and not self.start:
            if self.modulated:
                graph, *_ = split(network.degradation)
                calibrate_modulation(network, merge(graph, self.degradation).pyramid, rngs)
            start_from_input(network)
        _, params, stats = self._split(network)
        if self.modulated and self.settings.train_encoder:
            graph, *_ = split(network.degradation)
            _, *arrays = split(merge(graph, self.degradation))
            params["degradation"], stats["degradation"] = arrays
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            stats=stats,
            opt=optimizer.adam(self.settings).init(params),
            frozen=self.frozen,
            ema=params if self.settings.ema_decay else {},
            skipped=jnp.zeros((), jnp.int32),
        )

    def train_step(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        kept = gathered(state.frozen)
        frozen = cast(kept, self.config.compute_dtype)

        def loss(params: Arrays, images: Batch):
            blurry, sharp = pair_of(images)
            blurry = self._reblurred(kept, blurry, sharp, state.step)
            params = cast(params, self.config.compute_dtype)
            network = self._merge(frozen, params, state.stats, training=True)
            blurry, sharp, output = self._deblur(network, blurry, sharp)
            terms = self._loss_terms(frozen, output, sharp)
            return sum(terms.values()), (terms, self._split(network)[-1])

        rate = optimizer.cosine_rate(state.step, self.settings)
        new = optimizer_step(
            loss, state.params, state.opt, state.stats, batch, settings=self.settings, rate=rate
        )
        after = State(
            step=state.step + 1,
            params=new.params,
            stats=new.stats,
            opt=new.opt,
            frozen=state.frozen,
            ema=moving_average(state.ema, new, self.settings.ema_decay),
            skipped=state.skipped + ~new.finite,
        )
        scalars = new.scalars | spectral_scalars(self.network(after))
        return after, scalars | {"skipped": after.skipped}

    def val_step(self, state: State, batch: Batch) -> tuple[Scalars, dict[str, jax.Array]]:
        blurry, sharp, output = self._deblur(self.network(state), *pair_of(batch))
        terms = self._loss_terms(state.frozen, output, sharp)
        scalars = terms | {
            "loss": sum(terms.values()),
            "psnr": -losses.psnr_loss(output.deblurred.clip(0, 1), sharp),
        }
        return scalars, {"blurry": blurry, "deblurred": output.deblurred, "sharp": sharp}

    def network(self, state: State) -> nnx.Module:
        return self._merge(state.frozen, state.params, state.stats, training=False)

    def _reblurred(self, frozen: Arrays, blurry: Array, sharp: Array, step: Array) -> Array:
        """Give a random share of the crops the blur of those before in the batch, in float32."""
        if not (share := self.config.augmentation.reblurred):
            return blurry
        arrays = frozen["joint"]
        joint = merge(self.joint_graph, arrays["params"], arrays["stats"])
        maps = degradation_of(joint.degradation, jnp.roll(blurry, 1, 0)).maps
        reblurred = joint.reblur(sharp, maps).clip(0, 1)
        key = jax.random.fold_in(jax.random.key(self.config.seed), step)
        chosen = jax.random.bernoulli(key, share, (len(blurry), 1, 1, 1))
        return jax.lax.stop_gradient(jnp.where(chosen, reblurred, blurry))

    def _merge(
        self, frozen: Arrays, params: Arrays, stats: Arrays, *, training: bool
    ) -> nnx.Module:
        if "degradation" not in frozen:
            return merge(self.graph, params, stats, training=training)
        degradation = {"degradation": frozen["degradation"]}
        network = merge(self.graph, degradation, params, stats, training=training)
        network.degradation.eval()
        return network

    def _split(self, network: nnx.Module) -> tuple[nnx.GraphDef, Arrays, Arrays]:
        """Return the graph, the trained parameters and their statistics, without frozen parts."""
        filters = [nnx.Param, ...]
        if not self.settings.train_encoder:
            filters = [FROZEN, *filters]
        graph, *_, params, stats = nnx.split(network, *filters)
        return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(stats)

    def _deblur(self, network: nnx.Module, blurry: jax.Array, sharp: jax.Array):
        """Return the crops and their output; the encoder also sees the context around them."""
        if not self.modulated:
            return blurry, sharp, network(blurry)
        if not (context := self.settings.context):
            seen = jnp.roll(blurry, 1, 0) if self.settings.unrelated_degradation else blurry
            return blurry, sharp, network(blurry, degradation_of(network.degradation, seen))
        cells, crop = context // CELL, self.settings.crop
        representation = network.degradation.encoder(blurry)[:, cells:-cells, cells:-cells]
        maps = network.degradation.maps(representation, (crop, crop))
        blurry, sharp = (x[:, context:-context, context:-context] for x in (blurry, sharp))
        return blurry, sharp, network(blurry, Degradation(representation, maps))

    def _loss_terms(self, frozen: Arrays, output: NamedTuple, sharp: jax.Array) -> Scalars:
        psnr = [losses.psnr_loss(image, sharp, self.settings.psnr_floor) for image in output]
        terms = {"psnr_loss": sum(psnr) / len(psnr)}
        if weight := self.settings.feature_weight:
            encoder = merge(self.feature_graph, frozen["features"])
            pictures = sharp, output.deblurred
            if self.config.contrast:
                # This encoder was trained on local contrast.
                pictures = map(local_contrast, pictures)
            features = losses.feature_l1(*map(encoder, pictures))
            terms["feature_loss"] = weight * features
        return terms


def _check_unmodulated(config: ml_collections.ConfigDict) -> None:
    """Raise ValueError for fields that need a degradation encoder in the network."""
    settings, name = config.deblur, config.deblur.network
    unused = {
        "deblur.train_encoder": settings.train_encoder,
        "deblur.degradation_from": settings.degradation_from,
        "deblur.context": settings.context,
        "deblur.unrelated_degradation": settings.unrelated_degradation,
        "deblur.width": settings.width,
    }
    if given := [field for field, value in unused.items() if value]:
        raise ValueError(
            f"deblur.network={name!r} has no degradation encoder: leave out {', '.join(given)}"
        )
    if settings.feature_weight and not settings.features_from:
        raise ValueError(
            f"deblur.feature_weight={settings.feature_weight:g} needs an encoder, which {name!r} "
            "does not have: give deblur.features_from, or set deblur.feature_weight=0"
        )


def _check_unrelated(settings: ml_collections.ConfigDict) -> None:
    if not settings.unrelated_degradation:
        return
    if settings.batch_size == settings.accumulate or settings.context:
        raise ValueError(
            "deblur.unrelated_degradation needs other images in the batch, and sees no context: "
            "set deblur.batch_size to at least twice deblur.accumulate, and deblur.context=0"
        )


def _check_reblurred(config: ml_collections.ConfigDict) -> None:
    settings, share = config.deblur, config.augmentation.reblurred
    if share and not settings.reblurred_by and "reblur" not in config.stages:
        raise ValueError(
            f"augmentation.reblurred={share:g} needs a joint network: give deblur.reblurred_by, or "
            "train stage 1 in this run"
        )
    if settings.reblurred_by and not share:
        raise ValueError(
            f"deblur.reblurred_by={settings.reblurred_by} is not used: set augmentation.reblurred"
        )
    if share and settings.batch_size == settings.accumulate:
        raise ValueError(
            f"augmentation.reblurred={share:g} needs other images in the batch: set "
            "deblur.batch_size to at least twice deblur.accumulate"
        )


def _check_context(config: ml_collections.ConfigDict) -> None:
    context, crop = config.deblur.context, config.deblur.crop
    if not context:
        return
    if not config.native or config.mesh.rows > 1:
        raise ValueError(
            f"deblur.context={context} needs a native encoder and whole rows: set native=True and "
            "mesh.rows=1, or deblur.context=0"
        )
    if context < 0 or context % CELL or crop % CELL:
        raise ValueError(
            f"deblur.context={context} and deblur.crop={crop} must be multiples of {CELL} px, a "
            "cell of the representation, and not below 0"
        )
