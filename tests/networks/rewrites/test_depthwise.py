"""Depthwise convolutions and their gradients are PyTorch's, for every target."""

import jax
import numpy as np
import pytest
from torch.nn import functional

from msdi_jax.networks.convolution import convolve_depthwise
from msdi_jax.runtime import target
from tests.networks.pytorch import assert_close, hwio, nchw, nhwc, normal, oihw


@pytest.mark.parametrize("platform", target.TARGETS)
@pytest.mark.parametrize("size", [(5, 7), (1, 4), (8, 3)])
def test_value_and_gradients_are_pytorchs(x64, size, platform):
    x, kernel, weights = normal(2, *size, 6), normal(3, 3, 1, 6), normal(2, *size, 6)
    images, kernels = (a.clone().requires_grad_() for a in (nchw(x), oihw(kernel)))
    expected = functional.conv2d(images, kernels, padding=1, groups=6)
    (expected * nchw(weights)).sum().backward()
    with target.tracing_for(platform):
        actual, back = jax.vjp(convolve_depthwise, x, kernel)
        gradients = back(weights)
    assert_close(actual, nhwc(expected.detach()))
    assert_close(gradients[0], nhwc(images.grad))
    assert_close(gradients[1], hwio(kernels.grad))


def test_the_gradient_on_cpus_has_no_grouped_convolution_and_no_nine_sums():
    x, kernel = (np.ones(shape, np.float32) for shape in ((1, 8, 8, 4), (3, 3, 1, 4)))

    def traced(platform):
        with target.tracing_for(platform):
            loss = jax.grad(lambda x, k: convolve_depthwise(x, k).sum(), (0, 1))
            return str(jax.make_jaxpr(loss)(x, kernel))

    assert "scan" in traced("cpu")
    assert "scan" not in traced("tpu")
    for platform, grouped in (("cpu", False), ("tpu", False), (target.PLAIN, True)):
        assert ("conv_general_dilated" in traced(platform)) == grouped
