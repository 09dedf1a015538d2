"""The target decides which forms a program has; the host only decides when nothing is chosen."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msdi_jax.networks import convolution
from msdi_jax.networks.rewrites import correlation
from msdi_jax.runtime import target
from tests.networks.pytorch import normal


def program(name, x, kernel, **options):
    with target.tracing_for(name):
        return str(jax.make_jaxpr(partial(convolution.convolve, **options))(x, kernel))


@pytest.mark.parametrize("name", ["plain", "tpu", "cuda"])
def test_a_program_for_another_target_holds_no_form_of_the_cpu(monkeypatch, name):
    """Winograd's products, and kernel gradients as products where registers are narrow."""
    monkeypatch.setattr(target, "_host_has_narrow_registers", lambda: True)
    monkeypatch.setattr(correlation, "PRODUCT_CHANNELS", 1)
    x, kernel = jnp.zeros((1, 16, 16, 128)), jnp.zeros((3, 3, 128, 128))
    assert "dot_general" in program("cpu", x, kernel, padding=1)
    assert "dot_general" not in program(name, x, kernel, padding=1)
    assert "custom_vjp" not in program(name, x, kernel, padding=1)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 1), (4, 2, 1), (3, 1, 0)]
)
def test_a_plain_program_is_one_convolution(size, stride, padding):
    x, kernel = normal(1, 8, 8, 4), normal(size, size, 4, 64)
    plain = program("plain", x, kernel, stride=stride, padding=padding)
    assert plain.count("conv_general_dilated[") == 1
    assert plain.count(" = ") == 1
    results = {}
    for name in ("plain", "cpu", "tpu"):
        with target.tracing_for(name):
            call = jax.jit(partial(convolution.convolve, stride=stride, padding=padding))
            results[name] = call(x, kernel)
    np.testing.assert_allclose(results["plain"], results["cpu"], atol=1e-5)
    np.testing.assert_allclose(results["plain"], results["tpu"], atol=1e-5)


def test_a_trace_for_one_target_is_not_used_for_another():
    seen = []

    @jax.jit
    def function(x):
        seen.append(target.current())
        return x

    for name in ("plain", "tpu", "plain"):
        with target.tracing_for(name):
            function(1.0)
    assert seen == ["plain", "tpu"]


def test_the_default_is_this_process(monkeypatch):
    assert target.current() == {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    target.set_default("tpu")
    assert target.current() == "tpu"
    target.set_default(None)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert target.current() == "cuda"


def test_plain_programs_are_compiled_for_this_process(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    platforms = {}
    for name in target.TARGETS:
        with target.tracing_for(name):
            platforms[name] = target.platform()
    assert platforms == {"plain": "cuda", "cpu": "cpu", "cuda": "cuda", "tpu": "tpu"}


def test_unknown_targets_are_refused():
    for choose in (target.tracing_for, target.set_default):
        with pytest.raises(ValueError, match="target 'gpu' is unknown: choose one of plain, cpu"):
            choose("gpu")
