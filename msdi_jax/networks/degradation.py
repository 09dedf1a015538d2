"""Degradation encoder and pyramid: a blurry image → its representation → four maps.

Two versions are published. Version 1 (`msdi_net`) has a 4×4 representation with 4·width channels,
version 2 (`msdi2_net` and the joint network) an 8×8 one with 32·width channels.

Both resize the image to 256×256 and normalise each channel of each image. The length of a blur in
pixels, and everything that all regions share, such as the blur of a camera that moved without
rotating, then survives only in the relations between channels. Two options of this project keep
more:

* native: the encoder takes the image at full resolution and normalises over the batch. The
  representation has one cell per 32×32 pixels.
* contrast: the encoder sees local contrast. The contrast that is left at an edge depends on the
  blur, the contrast that was there depends on the content: normalising every neighbourhood to the
  same contrast removes the latter.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.networks.convolution import reflect_pad
from msdi_jax.networks.layers import (
    BatchNorm,
    Conv,
    DoublingSpectralConv,
    InstanceNorm,
    SpectralConv,
    average_pool,
    leaky_relu,
)
from msdi_jax.networks.resize import resize_bilinear
from msdi_jax.networks.rewrites.plain import array_library

ENCODER_SIZE = 256
# Side of the image area of one cell of a native representation, px.
CELL = 32
# Side of the neighbourhood whose contrast is normalised, px.
NEIGHBOURHOOD = 33
# Added to the variance: the noise of flat neighbourhoods is not amplified.
VARIANCE_EPSILON = 1e-4


class Degradation(NamedTuple):
    """The degradation representation of images, and the maps that modulate the network.

    `maps[i]` modulates U-Net level i. Its shape is (b, 256 / 2^i, 256 / 2^i, 2^i · width), with a
    native encoder (b, h / 2^i, w / 2^i, 2^i · width).
    """

    representation: Float[Array, "b r r c"]
    maps: tuple[Array, ...]


def local_contrast(image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Subtract the mean of each pixel's neighbourhood and divide by its standard deviation.

    Jarrett et al., "What is the Best Multi-Stage Architecture for Object Recognition?", 2009.
    """
    wide = image.astype(jnp.promote_types(image.dtype, jnp.float32))
    rows, columns = (_neighbours(side) for side in wide.shape[1:3])
    count = jnp.asarray(rows[:, None, None] * columns[:, None], wide.dtype)
    mean = _neighbourhood_sum(wide) / count
    power = _neighbourhood_sum(jnp.square(wide)) / count
    variance = (power - jnp.square(mean)).mean(-1, keepdims=True)
    contrast = (wide - mean) * jax.lax.rsqrt(jnp.maximum(variance, 0) + VARIANCE_EPSILON)
    return contrast.astype(image.dtype)


def _neighbours(side: int) -> Float[Array, " side"]:
    """Count the pixels of each pixel's neighbourhood inside an axis of `side` px."""
    library, reach = array_library(side), NEIGHBOURHOOD // 2
    place = library.arange(side)
    return 1.0 + library.minimum(place, reach) + library.minimum(side - 1 - place, reach)


def _neighbourhood_sum(x: Array) -> Array:
    for window in ((1, NEIGHBOURHOOD, 1, 1), (1, 1, NEIGHBOURHOOD, 1)):
        x = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, (1, 1, 1, 1), "SAME")
    return x


class ResidualBlock(nnx.Module):
    """Two 3×3 convolutions with reflection padding, added to the input."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.conv_1 = Conv(channels, channels, 3, padding=0, rngs=rngs)
        self.conv_2 = Conv(channels, channels, 3, padding=0, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        y = leaky_relu(self.conv_1(reflect_pad(x, 1)))
        return leaky_relu(x + self.conv_2(reflect_pad(y, 1)))


def _norms(convs: nnx.List, native: bool) -> nnx.List:
    return nnx.List(
        BatchNorm(conv.kernel.shape[-1]) if native else InstanceNorm() for conv in convs
    )


class ShallowEncoder(nnx.Module):
    """The first layers of the encoder. Stage 2 also compares images by their five features."""

    def __init__(self, width: int, *, native: bool = False, rngs: nnx.Rngs):
        channels = [3, *(width * k for k in (1, 2, 4, 8))]
        self.down = nnx.List(
            SpectralConv(i, o, 3, stride=2, bias=False, rngs=rngs)
            for i, o in itertools.pairwise(channels)
        )
        self.norms = _norms(self.down, native)
        self.smooth = Conv(width, width, 7, padding=0, rngs=rngs)

    def __call__(self, image: Float[Array, "b h w 3"]) -> list[Array]:
        first = self.norms[0](self.down[0](image))
        features = [first, self.smooth(reflect_pad(leaky_relu(first), 3))]
        for conv, norm in list(zip(self.down, self.norms, strict=True))[1:]:
            features.append(norm(conv(leaky_relu(features[-1]))))
        return features


class DegradationEncoder(nnx.Module):
    """Blurry image of any size → degradation representation.

    Args:
        width: channels of the first layer; published: 64.
        version: 1 or 2.
        native: encode at full resolution; see the top of this module.
        contrast: feed local contrast; see the top of this module.
    """

    def __init__(
        self,
        width: int = 64,
        *,
        version: int = 2,
        native: bool = False,
        contrast: bool = False,
        rngs: nnx.Rngs,
    ):
        if version not in (1, 2):
            raise ValueError(f"version must be 1 or 2, not {version!r}")
        self.version = version
        self.native = native
        self.contrast = contrast
        self.shallow = ShallowEncoder(width, native=native, rngs=rngs)
        deepest, outs = (8, (4,)) if version == 1 else (16, (32, 32, 32))
        channels = [8 * width, deepest * width]
        self.deep = nnx.List([SpectralConv(*channels, 3, stride=2, bias=False, rngs=rngs)])
        if version == 1:
            self.deep.append(SpectralConv(8 * width, 8 * width, 3, bias=False, rngs=rngs))
        self.residual = nnx.List(
            ResidualBlock(channels[-1], rngs=rngs) for _ in range(5 if version == 1 else 3)
        )
        self.out = nnx.List(
            SpectralConv(i * width, o * width, 3, padding=0, bias=False, rngs=rngs)
            for i, o in zip((deepest, *outs[:-1]), outs, strict=True)
        )
        self.deep_norms, self.out_norms = (_norms(convs, native) for convs in (self.deep, self.out))

    def __call__(self, image: Float[Array, "b h w 3"]) -> Float[Array, "b r r c"]:
        if not self.native:
            image = resize_bilinear(image, ENCODER_SIZE, ENCODER_SIZE)
        if self.contrast:
            image = local_contrast(image)
        x = self.shallow(image)[-1]
        for conv, norm in zip(self.deep, self.deep_norms, strict=True):
            x = norm(conv(leaky_relu(x)))
        for block in list(self.residual)[:3]:
            x = block(x)
        return self._version_1_end(x) if self.version == 1 else self._version_2_end(x)

    def _version_1_end(self, x: Array) -> Array:
        x = average_pool(x)
        for block in list(self.residual)[3:]:
            x = block(x)
        return self.out_norms[0](self.out[0](reflect_pad(x, 1)))

    def _version_2_end(self, x: Array) -> Array:
        for conv, norm in zip(self.out, self.out_norms, strict=True):
            x = leaky_relu(norm(conv(reflect_pad(x, 1))))
        return x


class UpBlock(nnx.Module):
    """Convolve, double the size and convolve."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.before = SpectralConv(inputs, outputs, 3, padding=0, rngs=rngs)
        self.after = DoublingSpectralConv(outputs, outputs, 3, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = leaky_relu(self.before(reflect_pad(x, 1)))
        return leaky_relu(self.after(x))


class DegradationPyramid(nnx.Module):
    """Degradation representation → one map per U-Net level, finest first."""

    def __init__(self, width: int = 64, *, version: int = 2, rngs: nnx.Rngs):
        outs = [16, 8, 4, 2, 1] if version == 2 else [32, 16, 8, 4, 2, 1]
        ins = [32 if version == 2 else 4, *outs[:-1]]
        self.up = nnx.List(
            UpBlock(i * width, o * width, rngs=rngs) for i, o in zip(ins, outs, strict=True)
        )

    def __call__(self, representation: Float[Array, "b r r c"]) -> tuple[Array, ...]:
        x, maps = representation, []
        for block in self.up:
            x = block(x)
            maps.append(x)
        return tuple(maps[:-5:-1])


class DegradationEstimator(nnx.Module):
    """Encoder and pyramid: stage 1 trains them, stage 2 freezes them.

    Args:
        width: of encoder and pyramid, see there.
        version: of encoder and pyramid, 1 or 2.
        native: see `DegradationEncoder`.
        contrast: see `DegradationEncoder`.
    """

    def __init__(
        self,
        width: int = 64,
        *,
        version: int = 2,
        native: bool = False,
        contrast: bool = False,
        rngs: nnx.Rngs,
    ):
        self.encoder = DegradationEncoder(
            width, version=version, native=native, contrast=contrast, rngs=rngs
        )
        self.pyramid = DegradationPyramid(width, version=version, rngs=rngs)

    def __call__(self, image: Float[Array, "b h w 3"]) -> Degradation:
        representation = self.encoder(image)
        return Degradation(representation, self.maps(representation, image.shape[1:3]))

    def maps(
        self, representation: Float[Array, "b r q c"], size: tuple[int, int]
    ) -> tuple[Array, ...]:
        """Return the maps of a representation for an image of `size` (height, width).

        The representation may come from another image.
        """
        if not self.encoder.native:
            return self.pyramid(representation)
        height, width = size
        cells = resize_bilinear(representation, -(-height // CELL), -(-width // CELL))
        # The last cells may extend beyond the image.
        maps = enumerate(self.pyramid(cells))
        return tuple(m[:, : height // 2**i, : width // 2**i] for i, m in maps)
