"""Calibrated random weights, for short training: `config.initial = "calibrated"`.

With the published initialisation, a new network first has to learn to return its input, and to
respond to its degradation representation. The pyramid's ten spectrally normalised convolutions of
independent weights scale the representation down to a five-hundredth, less than their biases.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from msdi_jax.networks.convolution import reflect_pad
from msdi_jax.networks.degradation import DegradationPyramid
from msdi_jax.networks.hinet import HINet
from msdi_jax.networks.layers import Conv, leading_vectors, leaky_relu
from msdi_jax.networks.modulation import Unmodulated
from msdi_jax.networks.msdi_net import MSDINet
from msdi_jax.networks.nafnet import NAFNet
from msdi_jax.networks.reblur_deblur_net import ReblurDeblurNet


def calibrate_pyramid(pyramid: DegradationPyramid, rngs: nnx.Rngs) -> None:
    """Set orthogonal kernels, and biases that give every channel a mean of zero."""
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


def start_from_input(network: nnx.Module) -> None:
    """Make the output of a deblurring or joint network equal its input."""
    for part in _parts(network):
        _set_to_zero(part.ending if isinstance(part, NAFNet) else part.last)
    if isinstance(network, MSDINet | HINet):
        _set_to_zero(network.attention.to_image)


def calibrate_modulation(network: nnx.Module, pyramid: DegradationPyramid, rngs: nnx.Rngs) -> None:
    """Scale the modulation of a deblurring or joint network to unit moments of `pyramid`'s maps."""
    maps = pyramid(_typical_representation(pyramid, rngs))
    for part in _parts(network):
        for modulation, level in zip(part.modulation, maps[: len(part.modulation)], strict=True):
            if not isinstance(modulation, Unmodulated):
                _scale_to_map(modulation.shared[0], level)


def _parts(network: nnx.Module) -> list[nnx.Module]:
    is_joint = isinstance(network, ReblurDeblurNet)
    return [network.deblur, network.reblur] if is_joint else [network]


def _typical_representation(pyramid: DegradationPyramid, rngs: nnx.Rngs) -> Array:
    """Return noise with the moments of an encoder's output after its norm and activation."""
    shape = (4, 8, 8, pyramid.up[0].before.kernel.shape[-2])
    return leaky_relu(jax.random.normal(rngs.params(), shape))


def _scale_to_map(conv: Conv, degradation_map: Array) -> None:
    """Scale the weights of a map, the last input channels of `conv`, as if it had unit moments.

    The standard deviation is taken over all channels of the map: single channels may be constant.
    """
    first = conv.kernel.shape[-2] - degradation_map.shape[-1]
    mean, scale = degradation_map.mean((0, 1, 2)), degradation_map.std()
    kernel = conv.kernel[...].at[:, :, first:].divide(scale)
    shift = jnp.einsum("hwio,i->o", kernel[:, :, first:], mean)
    conv.kernel[...], conv.bias[...] = kernel, conv.bias[...] - shift


def _set_to_zero(conv: Conv) -> None:
    conv.kernel[...] = jnp.zeros(conv.kernel.shape)
    conv.bias[...] = jnp.zeros(conv.bias.shape)
