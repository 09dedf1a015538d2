"""Spatially adaptive modulation: a degradation map scales and shifts features, pixel by pixel.

The two published networks differ in the inputs of scale and shift, and in the modulated feature:
the deblurring network predicts them from feature and map and modulates the feature itself; the
joint network predicts them from the map alone and modulates the batch-normalised feature.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.networks.layers import BatchNorm, Conv, SpectralConv, leaky_relu
from msdi_jax.networks.resize import resize_nearest


class _Modulation(nnx.Module):
    """n · (1 + gamma(a)) + beta(a), convolved and added to the feature."""

    def __init__(self, channels: int, hidden: int, *, starts_at_zero: bool = False, rngs: nnx.Rngs):
        self.gamma = Conv(hidden, channels, 3, rngs=rngs)
        self.beta = Conv(hidden, channels, 3, rngs=rngs)
        if starts_at_zero:
            # A spectral norm would divide by zero.
            self.project = Conv(channels, channels, 3, rngs=rngs)
            self.project.kernel.set_value(jnp.zeros_like(self.project.kernel[...]))
            self.project.bias.set_value(jnp.zeros_like(self.project.bias[...]))
        else:
            self.project = SpectralConv(channels, channels, 3, rngs=rngs)

    def modulate(self, x: Array, normalised: Array, context: Array) -> Array:
        """Add the modulated `normalised` feature to `x`."""
        y = normalised * (1 + self.gamma(context)) + self.beta(context)
        return x + self.project(leaky_relu(y))


class SpatiallyAdaptiveModulation(_Modulation):
    """The deblurring network's modulation of a skip connection.

    Args:
        channels: of the feature.
        map_channels: channels of the degradation map.
        hidden: channels of the shared context; published: 128 = 2 · width.
        starts_at_zero: initially leave the feature as it is; the last layer is then not
            spectrally normalised.
    """

    def __init__(
        self,
        channels: int,
        map_channels: int,
        hidden: int,
        *,
        starts_at_zero: bool = False,
        rngs: nnx.Rngs,
    ):
        super().__init__(channels, hidden, starts_at_zero=starts_at_zero, rngs=rngs)
        self.shared = nnx.List(
            [
                Conv(channels + map_channels, channels, 1, rngs=rngs),
                Conv(channels, hidden, 3, rngs=rngs),
                Conv(hidden, hidden, 3, rngs=rngs),
            ]
        )

    def __call__(
        self, x: Float[Array, "b h w c"], degradation: Float[Array, "b p q s"]
    ) -> Float[Array, "b h w c"]:
        parts = x, resize_nearest(degradation, *x.shape[1:3])
        for conv in self.shared:
            parts = (leaky_relu(conv(*parts)),)
        return self.modulate(x, x, *parts)


class Unmodulated(nnx.Module):
    """Placeholder for a skip connection without modulation."""

    def __call__(self, x: Array, degradation: Array) -> Array:
        return x


class NormalisedModulation(_Modulation):
    """The joint network's modulation, with batch norm and context from the map alone."""

    def __init__(self, channels: int, hidden: int, *, groups: int = 1, rngs: nnx.Rngs):
        super().__init__(channels, hidden, rngs=rngs)
        self.shared = nnx.List([Conv(channels, hidden, 3, rngs=rngs)])
        self.norm = BatchNorm(channels, groups=groups)

    def __call__(
        self, x: Float[Array, "b h w c"], degradation: Float[Array, "b p q c"]
    ) -> Float[Array, "b h w c"]:
        context = nnx.relu(self.shared[0](resize_nearest(degradation, *x.shape[1:3])))
        return self.modulate(x, self.norm(x), context)
