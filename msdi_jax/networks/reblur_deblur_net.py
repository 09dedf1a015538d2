"""The joint reblur–deblur network of stage 1: one representation drives both directions."""

from typing import NamedTuple

from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.networks.degradation import Degradation, DegradationEstimator
from msdi_jax.networks.layers import Conv
from msdi_jax.networks.modulation import NormalisedModulation
from msdi_jax.networks.unet import DEPTH, UNet, check_depth_and_patch, check_size


class JointOutput(NamedTuple):
    """Both outputs in [0, 1] up to overshoot: nothing is clipped."""

    deblurred: Float[Array, "b h w 3"]
    reblurred: Float[Array, "b h w 3"]


class Generator(nnx.Module):
    """A U-Net that predicts a residual; a degradation pyramid modulates its skips."""

    def __init__(
        self,
        width: int,
        *,
        depth: int = DEPTH,
        hidden: int | None = None,
        groups: int = 1,
        remat: int = 0,
        rngs: nnx.Rngs,
    ):
        self.stem = Conv(3, width, 3, rngs=rngs)
        self.unet = UNet(width, depth=depth, pointwise=False, remat=remat, rngs=rngs)
        self.modulation = nnx.List(
            NormalisedModulation(width * 2**i, hidden or 2 * width, groups=groups, rngs=rngs)
            for i in range(depth - 1)
        )
        self.last = Conv(width, 3, 3, rngs=rngs)

    def __call__(
        self, image: Float[Array, "b h w 3"], maps: tuple[Array, ...]
    ) -> Float[Array, "b h w 3"]:
        bottom, features = self.unet.encode(self.stem(image))
        decoded = self.unet.decode(bottom, features, lambda i, x: self.modulation[i](x, maps[i]))
        return self.last(decoded[0]) + image


class ReblurDeblurNet(nnx.Module):
    """Deblurs the blurry image and reblurs the sharp one, with the blurry image's representation.

    Args:
        width: channels of the finest level; published: 64.
        depth: levels of both U-Nets, at most 5; published: 5.
        hidden: context channels of the modulation; published: 2 · width.
        native: encode at full resolution, see `degradation`.
        contrast: feed the encoder local contrast, see `degradation`.
        batch_norm_groups: number of parts in which a batch is normalised, see `BatchNorm`.
        remat: see `MSDINet`.
    """

    def __init__(
        self,
        width: int = 64,
        *,
        depth: int = DEPTH,
        hidden: int | None = None,
        native: bool = False,
        contrast: bool = False,
        batch_norm_groups: int = 1,
        remat: int = 0,
        rngs: nnx.Rngs,
    ):
        self.degradation = DegradationEstimator(
            width, version=2, native=native, contrast=contrast, rngs=rngs
        )
        check_depth_and_patch(depth)
        generators = {"depth": depth, "hidden": hidden, "groups": batch_norm_groups, "remat": remat}
        self.deblur = Generator(width, **generators, rngs=rngs)
        self.reblur = Generator(width, **generators, rngs=rngs)

    def __call__(
        self,
        blurry: Float[Array, "b h w 3"],
        sharp: Float[Array, "b h w 3"],
        degradation: Degradation | None = None,
    ) -> JointOutput:
        """Deblur and reblur; `degradation` defaults to that of the blurry image."""
        check_size(blurry)
        check_size(sharp)
        if degradation is None:
            degradation = self.degradation(blurry)
        maps = degradation.maps
        return JointOutput(self.deblur(blurry, maps), self.reblur(sharp, maps))
