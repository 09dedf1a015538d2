"""MSDI-Net: two U-Nets; a degradation pyramid modulates the skips of the first.

Li et al., "Learning Degradation Representations for Image Deblurring", ECCV 2022, section 3.3.
The two-stage layout with half instance norm is HINet's (Chen et al., CVPRW 2021).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.networks.convolution import depth_to_space, space_to_depth
from msdi_jax.networks.degradation import Degradation, DegradationEstimator
from msdi_jax.networks.layers import Conv
from msdi_jax.networks.modulation import SpatiallyAdaptiveModulation, Unmodulated
from msdi_jax.networks.unet import (
    DEPTH,
    Block,
    UNet,
    check_depth_and_patch,
    check_size,
    recomputed,
)

# Levels whose skips are modulated, as published. The bottom of the U-Net has no skip.
LEVELS = tuple(range(DEPTH - 1))


class MSDIOutput(NamedTuple):
    """Both outputs in [0, 1] up to overshoot: nothing is clipped."""

    deblurred: Float[Array, "b h w 3"]
    intermediate: Float[Array, "b h w 3"]


class SupervisedAttention(nnx.Module):
    """Supervised attention (MPRNet): an intermediate image, and features gated by it."""

    def __init__(self, width: int, colours: int, *, rngs: nnx.Rngs):
        self.feature = Conv(width, width, 3, rngs=rngs)
        self.to_image = Conv(width, colours, 3, rngs=rngs)
        self.gate = Conv(colours, width, 3, rngs=rngs)

    def __call__(self, x: Array, image: Array) -> tuple[Array, Array]:
        restored = self.to_image(x) + image
        return self.feature(x) * jax.nn.sigmoid(self.gate(restored)) + x, restored


class MSDINet(nnx.Module):
    """Deblurs images of any size that is a multiple of 16.

    Args:
        width: channels of the finest level; published: 64.
        depth: levels of both U-Nets, at most 5; published: 5.
        patch: side of the pixel squares that the U-Nets take as one pixel (space to depth, as
            FFDNet, Zhang et al., 2018); 2 halves the size of all features. Published: 1.
        degradation_width: of the degradation encoder and its pyramid; published: `width`.
        version: of the degradation encoder, 1 (`msdi_net`) or 2 (`msdi2_net`).
        hidden: context channels of the modulation; published: 2 · width.
        native: encode at full resolution, see `degradation`.
        contrast: feed the encoder local contrast, see `degradation`.
        injected: levels whose skips the maps modulate, 0 the finest, up to the depth; published:
            all four. The other levels have no modulation weights.
        remat: number of the finest levels whose blocks are recomputed in the backward pass.

    Raises:
        ValueError: `depth` and `patch` do not fit together.
    """

    def __init__(
        self,
        width: int = 64,
        *,
        depth: int = DEPTH,
        patch: int = 1,
        degradation_width: int | None = None,
        version: int = 2,
        hidden: int | None = None,
        native: bool = False,
        contrast: bool = False,
        injected: Sequence[int] = LEVELS,
        remat: int = 0,
        rngs: nnx.Rngs,
    ):
        def block(level: int) -> Block:
            channels = width * 2**level
            return Block(channels, channels, half_norm=True, pointwise=True, rngs=rngs)

        check_depth_and_patch(depth, patch)
        self.remat, self.patch = remat, patch
        colours = 3 * patch**2
        levels = range(depth - 1)
        degradation_width = degradation_width or width
        self.degradation = DegradationEstimator(
            degradation_width, version=version, native=native, contrast=contrast, rngs=rngs
        )
        self.stem_1 = Conv(colours, width, 3, rngs=rngs)
        self.unet_1 = UNet(width, depth=depth, pointwise=True, remat=remat, rngs=rngs)
        self.before = nnx.List(block(i) for i in levels)
        self.modulation = nnx.List(
            SpatiallyAdaptiveModulation(
                width * 2**i, degradation_width * 2**i, hidden or 2 * width, rngs=rngs
            )
            if i in injected
            else Unmodulated()
            for i in levels
        )
        self.after = nnx.List(block(i) for i in levels)
        self.attention = SupervisedAttention(width, colours, rngs=rngs)
        self.stem_2 = Conv(colours, width, 3, rngs=rngs)
        self.merge = Conv(2 * width, width, 1, rngs=rngs)
        self.unet_2 = UNet(width, depth=depth, pointwise=True, fuse=True, remat=remat, rngs=rngs)
        self.skip = nnx.List(nnx.List(block(i) for _ in range(4)) for i in levels)
        self.last = Conv(width, colours, 3, rngs=rngs)

    def __call__(
        self, image: Float[Array, "b h w 3"], degradation: Degradation | None = None
    ) -> MSDIOutput:
        """Deblur `image`; `degradation` defaults to that of the image itself."""
        check_size(image)
        if degradation is None:
            degradation = self.degradation(image)
        image = space_to_depth(image, self.patch)
        bottom, encoded = self.unet_1.encode(self.stem_1(image))
        decoded = self.unet_1.decode(
            bottom, encoded, lambda i, x: self._inject(i, x, degradation.maps[i])
        )
        gated, intermediate = self.attention(decoded[0], image)
        x = self.merge(self.stem_2(image), gated)
        fusion = list(zip(encoded, decoded, strict=True))
        bottom, encoded = self.unet_2.encode(x, fusion)
        decoded = self.unet_2.decode(bottom, encoded, self._cross)
        return MSDIOutput(
            depth_to_space(self.last(decoded[0]) + image, self.patch),
            depth_to_space(intermediate, self.patch),
        )

    def _inject(self, level: int, x: Array, degradation_map: Array) -> Array:
        before, after = (
            recomputed(blocks[level], level < self.remat) for blocks in (self.before, self.after)
        )
        return after(self.modulation[level](before(x), degradation_map))

    def _cross(self, level: int, x: Array) -> Array:
        for block in self.skip[level]:
            x = recomputed(block, level < self.remat)(x)
        return x
