"""NAFNet: a U-Net without activation functions, and the same with a degradation pyramid.

Chen et al., "Simple Baselines for Image Restoration", ECCV 2022. The GoPro networks have one block
per level but 28 in the deepest encoder level.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.export import is_symbolic_dim
from jaxtyping import Array, Float

from msdi_jax.networks import local_statistics
from msdi_jax.networks.convolution import pixel_shuffle
from msdi_jax.networks.degradation import Degradation, DegradationEstimator
from msdi_jax.networks.layers import Conv, DepthwiseConv, LayerNorm
from msdi_jax.networks.modulation import SpatiallyAdaptiveModulation, Unmodulated
from msdi_jax.networks.msdi_net import LEVELS
from msdi_jax.networks.unet import check_images, recomputed

# Blocks from the finest level down, in the middle, and up again, as published for GoPro.
BLOCKS = (1, 1, 1, 28, 1, 1, 1, 1, 1)


class NAFNetOutput(NamedTuple):
    """The deblurred image, in [0, 1] up to overshoot: nothing is clipped."""

    deblurred: Float[Array, "b h w 3"]


class ChannelAttention(nnx.Module):
    """Simplified channel attention: features times a projection of their mean.

    Attributes:
        window: side of the windows over which the mean is taken, px of the features, see
            `local_statistics`; None, as in training: the whole image.
    """

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.channels = channels
        self.window: int | None = None
        self.project = Conv(channels, channels, 1, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        if self.window and any(is_symbolic_dim(n) or self.window < n for n in x.shape[1:3]):
            mean = local_statistics.mean(x, self.window)
        else:
            wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
            mean = local_statistics.spatial_mean(wide)
        return x * self.project(mean.astype(x.dtype))


class Block(nnx.Module):
    """Two residual steps: depthwise convolution with channel attention, and a gated product."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        double = 2 * channels
        self.norm_1 = LayerNorm(channels)
        self.conv_1 = Conv(channels, double, 1, rngs=rngs)
        self.conv_2 = DepthwiseConv(double, rngs=rngs)
        self.attention = ChannelAttention(channels, rngs=rngs)
        self.conv_3 = Conv(channels, channels, 1, rngs=rngs)
        self.norm_2 = LayerNorm(channels)
        self.conv_4 = Conv(channels, double, 1, rngs=rngs)
        self.conv_5 = Conv(channels, channels, 1, rngs=rngs)
        self.beta = nnx.Param(jnp.zeros((1, 1, 1, channels)))
        self.gamma = nnx.Param(jnp.zeros((1, 1, 1, channels)))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = gate(self.conv_2(self.conv_1(self.norm_1(x))))
        x = x + self.conv_3(self.attention(y)) * self.beta[...]
        y = gate(self.conv_4(self.norm_2(x)))
        return x + self.conv_5(y) * self.gamma[...]


def gate(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c//2"]:
    """Multiply the first half of the channels by the second."""
    first, second = jnp.split(x, 2, axis=-1)
    return first * second


class NAFNet(nnx.Module):
    """Deblurs images of any size.

    Args:
        width: channels of the finest level; published: 32 and 64.
        blocks: number of blocks per level, from the finest down, in the middle, and up again.
        remat: number of the finest levels whose blocks are recomputed in the backward pass.
    """

    def __init__(
        self,
        width: int = 32,
        *,
        blocks: Sequence[int] = BLOCKS,
        remat: int = 0,
        rngs: nnx.Rngs,
    ):
        def level(i: int, count: int) -> nnx.List:
            return nnx.List(Block(width * 2**i, rngs=rngs) for _ in range(count))

        check_blocks(blocks)
        self.remat, self.depth = remat, len(blocks) // 2
        levels = range(self.depth)
        channels = [width * 2**i for i in levels]
        self.intro = Conv(3, width, 3, rngs=rngs)
        self.encoders = nnx.List(level(i, blocks[i]) for i in levels)
        self.downs = nnx.List(Conv(c, 2 * c, 2, stride=2, padding=0, rngs=rngs) for c in channels)
        self.middle = level(self.depth, blocks[self.depth])
        # From the deepest level on.
        self.ups = nnx.List(Conv(2 * c, 4 * c, 1, bias=False, rngs=rngs) for c in channels[::-1])
        self.decoders = nnx.List(level(i, blocks[-1 - i]) for i in levels[::-1])
        self.ending = Conv(width, 3, 3, rngs=rngs)

    def __call__(self, image: Float[Array, "b h w 3"]) -> NAFNetOutput:
        return NAFNetOutput(self._deblur(image, lambda level, skip: skip))

    def _deblur(self, image: Array, inject) -> Array:
        """Deblur, with `inject(level, skip)` in place of each skip connection."""
        check_images(image)
        height, width = image.shape[1:3]
        after = [(0, -side % 2**self.depth) for side in (height, width)]
        image = jnp.pad(image, ((0, 0), *after, (0, 0)))
        x, skips = self.intro(image), []
        for level, (blocks, down) in enumerate(zip(self.encoders, self.downs, strict=True)):
            x = self._run(blocks, x, level)
            skips.append(x)
            x = down(x)
        x = self._run(self.middle, x, self.depth)
        for level, up, blocks in zip(range(self.depth)[::-1], self.ups, self.decoders, strict=True):
            x = pixel_shuffle(up(x), 2) + inject(level, skips[level])
            x = self._run(blocks, x, level)
        return (self.ending(x) + image)[:, :height, :width]

    def _run(self, blocks: nnx.List, x: Array, level: int) -> Array:
        for block in blocks:
            x = recomputed(block, level < self.remat)(x)
        return x


class ModulatedNAFNet(NAFNet):
    """NAFNet whose skip connections a degradation pyramid modulates, as in MSDI-Net.

    The modulation's last layer starts at zero: with the weights of a NAFNet and an untrained
    modulation, the output is that NAFNet's.

    Args:
        width: see `NAFNet`.
        blocks: see `NAFNet`; the four finest levels have maps.
        degradation_width: see `MSDINet`, as the others.
        version: of the degradation encoder.
        hidden: context channels of the modulation.
        native: encode at full resolution.
        contrast: feed the encoder local contrast.
        injected: levels whose skips are modulated, 0 the finest.
        remat: see `NAFNet`.
    """

    def __init__(
        self,
        width: int = 32,
        *,
        blocks: Sequence[int] = BLOCKS,
        degradation_width: int | None = None,
        version: int = 2,
        hidden: int | None = None,
        native: bool = False,
        contrast: bool = False,
        injected: Sequence[int] = LEVELS,
        remat: int = 0,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, blocks=blocks, remat=remat, rngs=rngs)
        degradation_width = degradation_width or width
        self.degradation = DegradationEstimator(
            degradation_width, version=version, native=native, contrast=contrast, rngs=rngs
        )
        self.modulation = nnx.List(
            SpatiallyAdaptiveModulation(
                width * 2**i,
                degradation_width * 2**i,
                hidden or 2 * width,
                starts_at_zero=True,
                rngs=rngs,
            )
            if i in injected
            else Unmodulated()
            for i in range(self.depth)
        )

    def __call__(
        self, image: Float[Array, "b h w 3"], degradation: Degradation | None = None
    ) -> NAFNetOutput:
        """Deblur `image`; `degradation` defaults to that of the image itself."""
        maps = (degradation or self.degradation(image)).maps

        def inject(level: int, skip: Array) -> Array:
            modulation = self.modulation[level]
            return skip if isinstance(modulation, Unmodulated) else modulation(skip, maps[level])

        return NAFNetOutput(self._deblur(image, inject))


def check_blocks(blocks: Sequence[int], name: str = "blocks") -> None:
    """Raise ValueError unless `blocks` describes a U-Net."""
    if len(blocks) % 2 == 0 or len(blocks) < 3 or min(blocks) < 0:
        raise ValueError(
            f"{name}={tuple(blocks)} must have a number for each level down, the middle, and each "
            "level up"
        )
