"""Comparison with PyTorch: arrays in both layouts, and convolutions with their gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import functional

from msdi_jax.networks import convolution


def normal(*shape):
    """Draw normal values; the sum of the sides is the seed."""
    return np.random.default_rng(sum(shape)).normal(size=shape)


def nchw(x):
    """Convert NHWC to a tensor NCHW."""
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1))


def nhwc(x):
    """Convert a tensor NCHW to NHWC."""
    return np.moveaxis(x.detach().numpy(), 1, -1)


def tensor(x):
    return torch.tensor(np.asarray(x))


def oihw(kernel):
    return tensor(np.transpose(kernel, (3, 2, 0, 1)))


def hwio(kernel):
    return kernel.detach().numpy().transpose(2, 3, 1, 0)


def set_arrays(layer, **arrays):
    """Replace arrays and their types; `[...] =` would keep the types."""
    for name, array in arrays.items():
        getattr(layer, name).set_value(jnp.asarray(array))


def assert_close(actual, expected, tolerance=1e-12):
    """Assert equality up to `tolerance` times the largest expected value."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def assert_convolves_like_pytorch(x, kernel, stride, padding, tolerance=1e-12):
    """Assert that `convolve` and its gradients equal PyTorch's."""
    inputs, weights = nchw(x).requires_grad_(), oihw(kernel).requires_grad_()
    expected = functional.conv2d(inputs, weights, stride=stride, padding=padding)
    pull = normal(*nhwc(expected).shape).astype(x.dtype)
    expected.backward(nchw(pull))

    @jax.jit
    def both_ways(x, kernel, pull):
        convolve = partial(convolution.convolve, stride=stride, padding=padding)
        actual, backward = jax.vjp(convolve, x, kernel)
        return actual, *backward(pull)

    actual, x_gradient, kernel_gradient = both_ways(x, kernel, pull)
    assert actual.shape == nhwc(expected).shape
    assert_close(actual, nhwc(expected), tolerance)
    assert_close(x_gradient, nhwc(inputs.grad), tolerance)
    assert_close(kernel_gradient, hwio(weights.grad), tolerance)
