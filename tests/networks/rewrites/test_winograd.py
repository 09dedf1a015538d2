"""Winograd's algorithm: exact, and used on CPUs for many channels only."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch.nn import functional

from msdi_jax.interop import onnx_translation
from msdi_jax.networks import convolution
from msdi_jax.runtime import target
from tests.networks.pytorch import (
    assert_close,
    assert_convolves_like_pytorch,
    nchw,
    nhwc,
    normal,
    oihw,
)

MANY = convolution.FEW_CHANNELS + 1


@pytest.fixture(autouse=True)
def small_threshold(monkeypatch):
    """Choose the algorithm from few channels on."""
    monkeypatch.setattr(convolution, "MANY_CHANNELS", MANY)
    # On machines with a GPU too.
    with target.tracing_for("cpu"):
        yield


@pytest.fixture
def arrays():
    return normal(2, 12, 14, MANY), normal(3, 3, MANY, 18) / 3 / MANY**0.5


# Complete and incomplete tiles; images larger and smaller than the input of a tile.
@pytest.mark.parametrize(
    ("size", "padding"), [((12, 16), 1), ((16, 12), 0), ((11, 9), 1), ((9, 6), 2), ((5, 5), 0)]
)
def test_convolve_and_its_gradients_are_exact(x64, size, padding):
    assert_convolves_like_pytorch(normal(2, *size, MANY), normal(3, 3, MANY, 18), 1, padding)


def test_it_is_not_used_for_large_images(monkeypatch, arrays):
    x, kernel = (array.astype(np.float32) for array in arrays)

    def program():
        # A new function, since JAX caches traces.
        return str(jax.make_jaxpr(lambda *a: convolution.convolve(*a, padding=1))(x, kernel))

    largest = 12 * 14 * 18
    monkeypatch.setattr(convolution, "MANY_VALUES", largest)
    assert "dot_general" in program()
    monkeypatch.setattr(convolution, "MANY_VALUES", largest - 1)
    assert "dot_general" not in program()


@pytest.mark.parametrize(("least", "convolutions"), [(1, 0), (2, 1), (4, 3)])
def test_gradients_use_it_from_half_as_many_channels(monkeypatch, arrays, least, convolutions):
    monkeypatch.setattr(target, "has_narrow_registers", lambda: False)
    monkeypatch.setattr(convolution, "MANY_CHANNELS", least * MANY)
    x, kernel = (array.astype(np.float32) for array in arrays)

    def gradients(x, kernel):
        y, pull_back = jax.vjp(partial(convolution.convolve, padding=1), x, kernel)
        return pull_back(y)

    lowered = jax.jit(gradients).trace(x, kernel).lower(lowering_platforms=("cpu",)).as_text()
    assert lowered.count("stablehlo.convolution") == convolutions


def test_float32_is_accurate(arrays):
    x, kernel = arrays
    expected = functional.conv2d(nchw(x), oihw(kernel), padding=1)
    actual = convolution.convolve(x.astype(np.float32), kernel.astype(np.float32), padding=1)
    assert_close(actual, nhwc(expected), 3e-6)


@pytest.mark.parametrize(
    ("platform", "kind", "convolutions"),
    # bfloat16 has too few digits.
    [("cpu", "float32", 0), ("cpu", "bfloat16", 1), ("cuda", "float32", 1)],
)
def test_it_is_used_on_cpus_and_in_float32_only(arrays, platform, kind, convolutions):
    convolve = jax.jit(partial(convolution.convolve, padding=1))
    traced = convolve.trace(*(jnp.asarray(a, kind) for a in arrays))
    lowered = traced.lower(lowering_platforms=(platform,)).as_text()
    assert lowered.count("stablehlo.convolution") == convolutions
    # The sums of taps, and the products.
    assert lowered.count("stablehlo.dot_general") == 2 * (1 - convolutions)


def test_onnx_programs_have_plain_convolutions(arrays):
    x, kernel = (a.astype(np.float32) for a in arrays)
    program = onnx_translation.translate(
        partial(convolution.convolve, kernel=kernel, padding=1), x.shape, ("x", "y"), ""
    )
    kinds = [node.op_type for node in program.graph.node]
    assert (kinds.count("Conv"), kinds.count("MatMul")) == (1, 0)
