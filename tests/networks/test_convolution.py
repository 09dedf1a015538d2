"""Convolutions and space to depth, against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from torch.nn import functional

from msdi_jax.networks import convolution, layers
from msdi_jax.networks.functional import merge, split
from msdi_jax.networks.rewrites import correlation
from msdi_jax.runtime import target
from tests.networks.pytorch import (
    assert_close,
    assert_convolves_like_pytorch,
    hwio,
    nchw,
    nhwc,
    normal,
    oihw,
    set_arrays,
    tensor,
)

KERNELS_AND_PADDINGS = [(1, 0), *((k, p) for k in (3, 4, 7) for p in (0, 1, 2))]


@pytest.mark.parametrize(
    ("size", "kernel_size", "padding", "stride"),
    [
        *(((33, 40), *kernel, stride) for kernel in KERNELS_AND_PADDINGS for stride in (1, 2)),
        # A single output, and a last row and column that no window reaches.
        ((3, 3), 3, 0, 2),
        ((8, 6), 3, 0, 2),
        # An odd number of columns.
        ((6, 7), 3, 1, 1),
        # At most as many pixels as outputs.
        ((2, 2), 3, 1, 1),
        ((3, 4), 3, 0, 1),
        ((4, 4), 4, 1, 2),
    ],
)
# In float64, convolutions become products; where registers are narrow, some gradients do.
@pytest.mark.parametrize(
    ("kind", "tolerance", "narrow"), [("f4", 2e-6, False), ("f4", 2e-6, True), ("f8", 1e-12, False)]
)
def test_convolve_and_its_gradients(
    x64, monkeypatch, size, stride, kernel_size, padding, kind, tolerance, narrow
):
    monkeypatch.setattr(target, "has_narrow_registers", lambda: narrow)
    monkeypatch.setattr(correlation, "PRODUCT_CHANNELS", 1)
    x, kernel = normal(2, *size, 3), normal(kernel_size, kernel_size, 3, 5)
    assert_convolves_like_pytorch(x.astype(kind), kernel.astype(kind), stride, padding, tolerance)


def test_space_to_depth_against_pytorch_and_its_inverse():
    x = normal(2, 6, 9, 2)
    # PyTorch orders channels by colour, then pixel; ours by pixel, then colour.
    expected = functional.pixel_unshuffle(nchw(x), 3).reshape(2, 2, 9, 2, 3)
    expected = expected.permute(0, 3, 4, 2, 1).reshape(2, 2, 3, 18)
    actual = convolution.space_to_depth(x, 3)
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(convolution.depth_to_space(actual, 3), x)


@pytest.mark.parametrize(("size", "bias"), [((2, 3), True), ((7, 4), False), ((1, 1), True)])
def test_doubling_conv_and_its_gradients(x64, size, bias):
    conv = layers.DoublingConv(3, 5, 3, bias=bias, rngs=nnx.Rngs(0))
    set_arrays(conv, kernel=normal(3, 3, 3, 5))
    if bias:
        set_arrays(conv, bias=normal(5))
    x = normal(2, *size, 3)
    inputs, weights = nchw(x).requires_grad_(), oihw(conv.kernel[...]).requires_grad_()
    doubled = functional.interpolate(inputs, scale_factor=2, mode="nearest")
    padded = functional.pad(doubled, (1, 1, 1, 1), mode="reflect")
    expected = functional.conv2d(padded, weights, tensor(conv.bias[...]) if bias else None)
    pull = normal(*nhwc(expected).shape)
    expected.backward(nchw(pull))

    graph, params, _ = split(conv)
    call = lambda params, x: merge(graph, params, {})(x)  # noqa: E731
    actual, backward = jax.vjp(call, params, jnp.asarray(x))
    gradients, x_gradient = backward(pull)
    assert_close(actual, nhwc(expected))
    assert_close(x_gradient, nhwc(inputs.grad))
    assert_close(gradients["kernel"], hwio(weights.grad))


def test_strides_above_2_are_refused():
    with pytest.raises(ValueError, match="stride=3 must be 1 or 2"):
        convolution.convolve(jnp.ones((1, 9, 9, 2)), jnp.ones((3, 3, 2, 3)), stride=3)


def test_a_1x1_convolution_takes_padding():
    actual = convolution.convolve(jnp.ones((1, 4, 4, 2)), jnp.ones((1, 1, 2, 3)), padding=1)
    assert actual.shape == (1, 6, 6, 3)
    assert float(actual[0, 0, 0, 0]) == 0


def test_the_plain_target_computes_the_same():
    x = normal(2, 6, 8, 4).astype(np.float32)
    kernels = {size: normal(size, size, 4, 5).astype(np.float32) for size in (1, 3, 4)}

    def outputs():
        strided = convolution.convolve(x, kernels[4], stride=2, padding=1)
        doubled = convolution.convolve_doubled(x, kernels[3])
        depthwise = convolution.convolve_depthwise(x, kernels[3][:, :, :1, :4])
        deep = convolution.space_to_depth(x, 2)
        same = [convolution.depth_to_space(deep, 2), convolution.pixel_shuffle(x, 2)]
        return [strided, doubled, depthwise, convolution.convolve(x, kernels[1]), deep, *same]

    with target.tracing_for("cpu"):
        expected = outputs()
    with target.tracing_for(target.PLAIN):
        actual = outputs()
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
