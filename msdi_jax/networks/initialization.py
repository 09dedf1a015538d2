"""Random weights from which a few thousand steps get somewhere: `config.initial = "calibrated"`.

As published, a fresh network first has to learn to give its input back, and to hear its
degradation representation at all. The pyramid's ten spectrally normalised convolutions of
independent weights pass on a five-hundredth of it, and their biases outweigh that.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from msdi_jax.networks.degradation import DegradationPyramid
from msdi_jax.networks.layers import Conv, leading_vectors, leaky_relu, reflect_pad
from msdi_jax.networks.modulation import Unmodulated
from msdi_jax.networks.msdi_net import MSDINet
from msdi_jax.networks.reblur_deblur_net import ReblurDeblurNet


def calibrate_pyramid(pyramid: DegradationPyramid, rngs: nnx.Rngs) -> None:
    """Orthogonal kernels, and biases that leave every channel a mean of zero."""
    draw = nnx.initializers.orthogonal()
    x = _typical_representation(pyramid, rngs)
    for block in pyramid.up:
        for conv, padding in ((block.before, 1), (block.after, 0)):
            conv.kernel[...] = draw(rngs.params(), conv.kernel.shape)
            conv.u[...], conv.v[...] = leading_vectors(conv.kernel[...], rngs.params())
            conv.bias[...] = jnp.zeros(conv.bias.shape)
            y = conv(reflect_pad(x, padding))
            conv.bias[...] = -y.mean((0, 1, 2))
            x = leaky_relu(y + conv.bias[...])


def calibrate_network(
    network: MSDINet | ReblurDeblurNet, pyramid: DegradationPyramid, rngs: nnx.Rngs
) -> None:
    """The output is the input, and modulation hears the maps of `pyramid` at unit strength."""
    parts = [network] if isinstance(network, MSDINet) else [network.deblur, network.reblur]
    maps = pyramid(_typical_representation(pyramid, rngs))
    for part in parts:
        for modulation, found in zip(part.modulation, maps[: len(part.modulation)], strict=True):
            if not isinstance(modulation, Unmodulated):
                _attend(modulation.shared[0], found)
        _silence(part.last)
    if isinstance(network, MSDINet):
        _silence(network.attention.to_image)


def _typical_representation(pyramid: DegradationPyramid, rngs: nnx.Rngs) -> Array:
    """Noise with the moments that the encoder's last norm and activation leave."""
    shape = (4, 8, 8, pyramid.up[0].before.kernel.shape[-2])
    return leaky_relu(jax.random.normal(rngs.params(), shape))


def _attend(conv: Conv, found: Array) -> None:
    """Scales what `conv` takes from a map, its last input channels, as if the map had unit moments.

    Lengths and means are those of all channels of the map: single ones may be silent.
    """
    first = conv.kernel.shape[-2] - found.shape[-1]
    mean, scale = found.mean((0, 1, 2)), found.std()
    kernel = conv.kernel[...].at[:, :, first:].divide(scale)
    shift = jnp.einsum("hwio,i->o", kernel[:, :, first:], mean)
    conv.kernel[...], conv.bias[...] = kernel, conv.bias[...] - shift


def _silence(conv: Conv) -> None:
    conv.kernel[...] = jnp.zeros(conv.kernel.shape)
    conv.bias[...] = jnp.zeros(conv.bias.shape)
