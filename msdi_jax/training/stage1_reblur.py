"""Stage 1: learn the degradation representation by reblurring and deblurring with it.

The generator deblurs the blurry image (L1) and reblurs the sharp one (adversarial loss, feature
matching and, if VGG19's weights are given, a perceptual term).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array

from msdi_jax.models import Architecture
from msdi_jax.models.architecture import KINDS
from msdi_jax.networks.degradation import Degradation
from msdi_jax.networks.discriminator import MultiscaleDiscriminator
from msdi_jax.networks.functional import Arrays, TraceSafeRngs, abstract, merge, split
from msdi_jax.networks.initialization import (
    calibrate_modulation,
    calibrate_pyramid,
    start_from_input,
)
from msdi_jax.networks.reblur_deblur_net import JointOutput, ReblurDeblurNet
from msdi_jax.networks.vgg import VGG19
from msdi_jax.runtime.mesh import by_image, by_rows, gathered
from msdi_jax.training import losses, optimizer
from msdi_jax.training.shared_blur import check_shared_blur, choose_pairs, exchange
from msdi_jax.training.stage import (
    Batch,
    Loss,
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


class Generated(NamedTuple):
    """Output of the generators with their input images, and the encoder's terms of the loss."""

    blurry: Array
    sharp: Array
    output: JointOutput
    terms: Scalars


class ReblurStage:
    """Stage 1 of `config` (fields: `configs/base.py`); see `stage.Stage`.

    Args:
        config: width, hidden, compute_dtype, and the fields of `config.reblur`.
        vgg: arrays of `VGG19`; without them, there is no perceptual term.
        start: network whose weights training starts from, instead of random weights.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        vgg: Arrays | None = None,
        start: ReblurDeblurNet | None = None,
    ):
        self.config, self.settings, self.start = config, config.reblur, start
        self.architecture = Architecture.from_config(config, "reblur")
        self.frozen = {} if vgg is None else {"vgg": vgg}
        self.graph, *_ = split(abstract(self._make_network))
        self.discriminator_graph, *_ = split(abstract(self._make_discriminator))
        normalise = self.settings.vgg_normalise
        self.vgg_graph, *_ = split(abstract(lambda keys: VGG19(normalise=normalise, rngs=keys)))

    @staticmethod
    def check(config: ml_collections.ConfigDict, mesh: Mesh) -> None:
        check_settings("reblur", config, mesh)
        architecture = Architecture.from_config(config, "reblur")
        architecture.check(KINDS[architecture.kind].config_paths)
        settings = config.reblur
        if settings.degradation_rate < 0:
            raise ValueError(
                f"reblur.degradation_rate={settings.degradation_rate:g} must be at least 0"
            )
        check_shared_blur(config, mesh)
        _check_batch_norm_groups(settings)

    def _make_network(self, rngs: nnx.Rngs) -> ReblurDeblurNet:
        groups = self.settings.batch_norm_groups
        return self.architecture.build(rngs, batch_norm_groups=groups, remat=self.config.remat)

    def _make_discriminator(self, rngs: nnx.Rngs) -> MultiscaleDiscriminator:
        return MultiscaleDiscriminator(self.config.width, rngs=rngs)

    def init(self, key: jax.Array) -> State:
        rngs = TraceSafeRngs(key)
        network = self.start or self._make_network(rngs)
        if self.config.initial == "calibrated" and not self.start:
            calibrate_pyramid(network.degradation.pyramid, rngs)
            calibrate_modulation(network, network.degradation.pyramid, rngs)
            start_from_input(network)
        generator = split(network)
        discriminator = split(self._make_discriminator(rngs))
        params = {"generator": generator.params, "discriminator": discriminator.params}
        adam = optimizer.adam(self.settings)
        return State(
            step=jnp.zeros((), jnp.int32),
            params=params,
            stats={"generator": generator.stats, "discriminator": discriminator.stats},
            opt={name: adam.init(tree) for name, tree in params.items()},
            frozen=self.frozen,
            ema={"generator": generator.params} if self.settings.ema_decay else {},
            skipped=jnp.zeros((), jnp.int32),
        )

    def train_step(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        """Do a generator step, then a discriminator step on outputs of the updated generator."""
        rate = optimizer.cosine_rate(state.step, self.settings)
        branches = rate if self.settings.anneal_generator else self.settings.learning_rate
        generator_rate = {
            "deblur": branches,
            "reblur": branches,
            "degradation": branches * self.settings.degradation_rate,
        }
        after, scalars = state, {}
        moves = [("generator", self._alone, generator_rate)]
        if self.settings.adversarial:
            moves = [
                ("generator", self._generator_loss, generator_rate),
                ("discriminator", self._discriminator_loss, rate),
            ]
        for name, loss, step_rate in moves:
            after, logged, finite = self._move(after, name, loss(after), batch, step_rate)
            scalars |= logged
            after = dataclasses.replace(after, skipped=after.skipped + ~finite)
        skipped = jnp.minimum(after.skipped, state.skipped + 1)
        after = dataclasses.replace(after, step=state.step + 1, skipped=skipped)
        return after, scalars | {"skipped": skipped}

    def _move(self, state: State, name: str, loss: Loss, batch: Batch, rate):
        """Update one of the two networks; its scalars get its name as a suffix."""
        new = optimizer_step(
            loss,
            state.params[name],
            state.opt[name],
            state.stats,
            batch,
            settings=self.settings,
            rate=rate,
        )
        graph = self.graph if name == "generator" else self.discriminator_graph
        common = {
            key: new.scalars.pop(key) for key in ("gradient_norm", "weight_norm", "learning_rate")
        } | spectral_scalars(merge(graph, new.params, new.stats[name]))
        ema = state.ema
        if name in ema:
            ema = ema | {name: moving_average(ema[name], new, self.settings.ema_decay)}
        state = dataclasses.replace(
            state,
            params=state.params | {name: new.params},
            opt=state.opt | {name: new.opt},
            stats=new.stats,
            ema=ema,
        )
        scalars = new.scalars | {f"{key}_{name}": value for key, value in common.items()}
        return state, scalars, new.finite

    def _alone(self, state: State) -> Loss:
        """Return the generator's loss without a discriminator."""
        frozen = cast(gathered(state.frozen), self.config.compute_dtype)

        def loss(params: Arrays, images: Batch):
            generator, discriminator = self._networks(state, params, state.params["discriminator"])
            generated = self._generate(generator, images)
            terms = generated.terms | self._reconstruction(frozen, generated)
            return sum(terms.values()), (terms, _stats(generator, discriminator))

        return loss

    def _generator_loss(self, state: State) -> Loss:
        other = cast(gathered(state.params["discriminator"]), self.config.compute_dtype)
        frozen = cast(gathered(state.frozen), self.config.compute_dtype)

        def loss(params: Arrays, images: Batch):
            generator, discriminator = self._networks(state, params, other)
            generated = self._generate(generator, images)
            fake, real = _discriminate(discriminator, generated)
            matching = losses.feature_matching(fake, real)
            terms = {
                "hinge_generator": losses.hinge_generator(fake),
                "feature_matching": self.settings.feature_matching_weight * matching,
                **generated.terms,
                **self._reconstruction(frozen, generated),
            }
            return sum(terms.values()), (terms, _stats(generator, discriminator))

        return loss

    def _discriminator_loss(self, state: State) -> Loss:
        other = cast(gathered(state.params["generator"]), self.config.compute_dtype)

        def loss(params: Arrays, images: Batch):
            generator, discriminator = self._networks(state, other, params)
            generated = jax.lax.stop_gradient(self._generate(generator, images))
            fake, real = _discriminate(discriminator, generated)
            terms = {
                "hinge_fake": losses.hinge_discriminator(fake, real=False),
                "hinge_real": losses.hinge_discriminator(real, real=True),
            }
            accuracy = {"discriminator_accuracy": _accuracy(fake, real)}
            return sum(terms.values()), (terms | accuracy, _stats(generator, discriminator))

        return loss

    def _generate(self, generator: ReblurDeblurNet, images: Batch) -> Generated:
        blurry, sharp = pair_of(images)
        if not self.settings.shared_blur:
            output = generator(blurry, sharp, degradation_of(generator.degradation, blurry))
            return Generated(blurry, sharp, output, {})
        estimator, terms = generator.degradation, {}
        representation = estimator.encoder(by_image(blurry))
        if weight := self.settings.motion_weight:
            terms["motion"] = weight * losses.motion(representation, images["motion"])
        # Only some pairs are generated: generating costs far more than encoding.
        chosen = choose_pairs((blurry, sharp, representation), self.settings)
        blurry, sharp, representation = chosen
        blurry, sharp = by_rows(blurry), by_rows(sharp)
        maps = estimator.maps(representation, blurry.shape[1:3])
        degradation = Degradation(representation, tuple(by_rows(level) for level in maps))
        output = JointOutput(
            generator.deblur(blurry, degradation.maps),
            generator.reblur(sharp, exchange(degradation).maps),
        )
        return Generated(blurry, sharp, output, terms)

    def _networks(self, state: State, generator: Arrays, discriminator: Arrays):
        """Return both networks in training mode, in the type to compute in."""
        generator, discriminator = cast((generator, discriminator), self.config.compute_dtype)
        return (
            merge(self.graph, generator, state.stats["generator"], training=True),
            merge(
                self.discriminator_graph, discriminator, state.stats["discriminator"], training=True
            ),
        )

    def _reconstruction(self, frozen: Arrays, generated: Generated) -> Scalars:
        deblurred, reblurred = generated.output
        terms = {"l1": self.settings.l1_weight * losses.l1(deblurred, generated.sharp)}
        if weight := self.settings.reblur_l1_weight:
            terms["l1_reblurred"] = weight * losses.l1(reblurred, generated.blurry)
        if "vgg" in frozen:
            network = merge(self.vgg_graph, frozen["vgg"])
            distance = losses.perceptual(network(reblurred), network(generated.blurry))
            terms["perceptual"] = self.settings.perceptual_weight * distance
        return terms

    def val_step(self, state: State, batch: Batch) -> tuple[Scalars, dict[str, jax.Array]]:
        """Return the reconstruction losses: adversarial terms also measure the discriminator."""
        blurry, sharp = pair_of(batch)
        network = self.network(state)
        # Each image with its own representation, as in use.
        output = network(blurry, sharp, degradation_of(network.degradation, blurry))
        terms = self._reconstruction(state.frozen, Generated(blurry, sharp, output, {}))
        # Measured even if it is not trained: it shows what the reblurring branch has learnt.
        weight = self.settings.reblur_l1_weight or self.settings.l1_weight
        terms["l1_reblurred"] = weight * losses.l1(output.reblurred, blurry)
        scalars = terms | {
            "loss": sum(terms.values()),
            "psnr": -losses.psnr_loss(output.deblurred.clip(0, 1), sharp),
            "psnr_reblurred": -losses.psnr_loss(output.reblurred.clip(0, 1), blurry),
        }
        return scalars, {"blurry": blurry, **output._asdict(), "sharp": sharp}

    def network(self, state: State) -> ReblurDeblurNet:
        return merge(self.graph, state.params["generator"], state.stats["generator"])


def _discriminate(discriminator: nnx.Module, generated: Generated):
    """Return the discriminator's features of (sharp, reblurred) and of (sharp, blurry) pairs.

    Both are in one batch. Each fake pair is next to its real one, so that they share a device.
    """
    candidates = generated.output.reblurred, generated.blurry
    pairs = jnp.stack(
        [jnp.concatenate([generated.sharp, image], axis=-1) for image in candidates], axis=1
    )
    scales = discriminator(by_image(pairs.reshape(-1, *pairs.shape[2:])))
    return tuple([[x[i::2] for x in features] for features in scales] for i in range(2))


def _accuracy(fake, real) -> jax.Array:
    """Return the share of correctly classified patches, mean over scales; 0.5 is chance."""
    shares = [
        ((f[-1] < 0).mean() + (r[-1] > 0).mean()) / 2 for f, r in zip(fake, real, strict=True)
    ]
    return sum(shares) / len(shares)


def _stats(generator: nnx.Module, discriminator: nnx.Module) -> Arrays:
    return {"generator": split(generator).stats, "discriminator": split(discriminator).stats}


def _check_batch_norm_groups(settings: ml_collections.ConfigDict) -> None:
    """Raise ValueError unless the images of one generator call divide into the groups."""
    passing = (settings.shared_blur and settings.generated) or settings.batch_size
    groups = settings.batch_norm_groups
    if groups < 1 or passing // settings.accumulate % groups:
        raise ValueError(
            f"reblur.batch_norm_groups={groups} must divide the {passing // settings.accumulate} "
            "images that the generators get at once"
        )
