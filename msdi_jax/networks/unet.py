"""The U-Net of both networks, with half instance norm in the encoder."""

from collections.abc import Callable, Mapping, Sequence

import jax
from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.networks.layers import Conv, HalfInstanceNorm, UpConv, leaky_relu

# Number of levels, as published.
DEPTH = 5
# Sides of the image must be multiples of this, for four halvings.
MULTIPLE = 2 ** (DEPTH - 1)


class Block(nnx.Module):
    """Two 3×3 convolutions and a 1×1 shortcut.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        half_norm: half instance norm after the first convolution.
        pointwise: variant of the deblurring network, with a 1×1 convolution between the two and a
            shortcut without bias; the joint network has neither.
        fuse: also add features of an earlier U-Net (cross-stage feature fusion, MPRNet), convolved
            by 1×1 without bias if `pointwise`, else by 3×3.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        half_norm: bool,
        pointwise: bool,
        fuse: bool = False,
        rngs: nnx.Rngs,
    ):
        self.identity = Conv(inputs, outputs, 1, bias=not pointwise, rngs=rngs)
        self.conv_1 = Conv(inputs, outputs, 3, rngs=rngs)
        self.norm = HalfInstanceNorm(outputs) if half_norm else None
        self.pointwise = Conv(outputs, outputs, 1, bias=False, rngs=rngs) if pointwise else None
        self.conv_2 = Conv(outputs, outputs, 3, rngs=rngs)
        options = {"size": 1 if pointwise else 3, "bias": not pointwise, "rngs": rngs}
        self.fuse_encoder = Conv(outputs, outputs, **options) if fuse else None
        self.fuse_decoder = Conv(outputs, outputs, **options) if fuse else None

    def __call__(self, *parts: Array, fusion: tuple[Array, Array] | None = None) -> Array:
        y = self.conv_1(*parts)
        if self.norm is not None:
            y = self.norm(y)
        y = leaky_relu(y)
        if self.pointwise is not None:
            y = leaky_relu(self.pointwise(y))
        y = leaky_relu(self.conv_2(y)) + self.identity(*parts)
        if fusion is not None:
            y = y + self.fuse_encoder(fusion[0]) + self.fuse_decoder(fusion[1])
        return y


def recomputed(block: Callable[..., Array], chosen: bool) -> Callable[..., Array]:
    """Return `block`; if `chosen`, the backward pass recomputes its inner values."""
    return jax.checkpoint(lambda *parts, **more: block(*parts, **more)) if chosen else block


class UpStep(nnx.Module):
    """Double the size, concatenate the skip connection and convolve."""

    def __init__(self, inputs: int, outputs: int, *, pointwise: bool, rngs: nnx.Rngs):
        self.up = UpConv(inputs, outputs, rngs=rngs)
        self.block = Block(2 * outputs, outputs, half_norm=False, pointwise=pointwise, rngs=rngs)

    def __call__(self, x: Array, skip: Array) -> Array:
        return self.block(self.up(x), skip)


class UNet(nnx.Module):
    """Level i has 2^i · width channels at 1 / 2^i of the size; level 0 is the finest.

    Args:
        width: channels of the finest level.
        depth: number of levels, at most 5.
        pointwise: see `Block`.
        fuse: see `Block`; all levels but the deepest.
        half_norm: levels whose encoder blocks have half instance norm; default: all.
        remat: number of the finest levels whose blocks are `recomputed`.
    """

    def __init__(
        self,
        width: int,
        *,
        depth: int = DEPTH,
        pointwise: bool,
        fuse: bool = False,
        half_norm: Sequence[int] = range(DEPTH),
        remat: int = 0,
        rngs: nnx.Rngs,
    ):
        self.remat = remat
        channels = [width * 2**i for i in range(depth)]
        self.down = nnx.List(
            Block(
                channels[max(i - 1, 0)],
                channels[i],
                half_norm=i in half_norm,
                pointwise=pointwise,
                fuse=fuse and i < depth - 1,
                rngs=rngs,
            )
            for i in range(depth)
        )
        self.downsample = nnx.List(
            Conv(c, c, 4, stride=2, padding=1, bias=False, rngs=rngs) for c in channels[:-1]
        )
        self.up = nnx.List(UpStep(2 * c, c, pointwise=pointwise, rngs=rngs) for c in channels[:-1])

    def encode(
        self, x: Float[Array, "b h w c"], fusion: Sequence[tuple[Array, Array]] = ()
    ) -> tuple[Array, list[Array]]:
        """Return the bottom features, and the features of each level above, finest first."""
        features = []
        for level, downsample in enumerate(self.downsample):
            down = recomputed(self.down[level], level < self.remat)
            x = down(x, fusion=fusion[level] if fusion else None)
            features.append(x)
            x = downsample(x)
        return recomputed(self.down[-1], self.remat >= len(self.down))(x), features

    def decode(
        self, x: Array, features: Sequence[Array], skip: Callable[[int, Array], Array]
    ) -> list[Array]:
        """Return the decoded features of each level, finest first.

        Args:
            x: the bottom features.
            features: those of the encoder, finest first.
            skip: (level, encoder feature) → the feature that the decoder takes.
        """
        decoded = []
        for level in reversed(range(len(self.up))):
            up = recomputed(self.up[level], level < self.remat)
            x = up(x, skip(level, features[level]))
            decoded.append(x)
        return decoded[::-1]


def check_images(image: Array) -> None:
    """Raise ValueError unless `image` is a batch of RGB images."""
    if image.ndim != 4 or image.shape[-1] != 3 or image.size == 0:
        raise ValueError(f"expected images of shape (batch, height, width, 3), got {image.shape}")


def check_size(image: Array) -> None:
    """Raise ValueError unless `image` is a batch of RGB images whose sides are multiples of 16."""
    check_images(image)
    height, width = image.shape[1:3]
    if height % MULTIPLE or width % MULTIPLE:
        raise ValueError(
            f"height and width must be multiples of {MULTIPLE}, got {height}×{width}: "
            "msdi_jax.restoration.restore pads images of any size by reflection"
        )


def check_depth_and_patch(
    depth: int, patch: int = 1, names: Mapping[str, str] | None = None
) -> None:
    """Raise ValueError unless U-Nets of this size take every multiple of `MULTIPLE` as a side.

    Args:
        depth: number of levels.
        patch: side of the pixel squares that the U-Nets take as one pixel.
        names: names of the two fields in the message; default: their own.
    """
    if not 1 < depth <= DEPTH or patch < 1 or MULTIPLE % (patch * 2 ** (depth - 1)):
        names = {"depth": "depth", "patch": "patch", **(names or {})}
        raise ValueError(
            f"{names['depth']}={depth}, {names['patch']}={patch}: depth must be 2 … {DEPTH}, and "
            f"patch · 2^(depth - 1) a divisor of {MULTIPLE}"
        )
