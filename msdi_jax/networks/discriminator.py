"""Patch discriminators at two scales: reblurred or truly blurry, given the sharp image."""

from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.networks.layers import Conv, SpectralConv, instance_norm, leaky_relu

SCALES = 2


class PatchDiscriminator(nnx.Module):
    """Score overlapping patches; returns five features, of which the last are the scores."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.first = Conv(6, width, 4, stride=2, padding=2, rngs=rngs)
        self.middle = nnx.List(
            SpectralConv(
                width * 2**i,
                width * 2 ** (i + 1),
                4,
                stride=stride,
                padding=2,
                bias=False,
                rngs=rngs,
            )
            for i, stride in enumerate((2, 2, 1))
        )
        self.last = Conv(8 * width, 1, 4, padding=2, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w 6"]) -> list[Array]:
        features = [leaky_relu(self.first(x))]
        for conv in self.middle:
            features.append(leaky_relu(instance_norm(conv(features[-1]))))
        return [*features, self.last(features[-1])]


class MultiscaleDiscriminator(nnx.Module):
    """`PatchDiscriminator` at full and half size, on the stacked sharp and candidate image.

    Args:
        width: channels of the first layer; published: 64.
    """

    def __init__(self, width: int = 64, *, rngs: nnx.Rngs):
        self.scale = nnx.List(PatchDiscriminator(width, rngs=rngs) for _ in range(SCALES))

    def __call__(self, pair: Float[Array, "b h w 6"]) -> list[list[Array]]:
        features = []
        for discriminator in self.scale:
            features.append(discriminator(pair))
            # Padding does not count in the mean.
            pair = nnx.avg_pool(
                pair, (3, 3), (2, 2), padding=((1, 1), (1, 1)), count_include_pad=False
            )
        return features
