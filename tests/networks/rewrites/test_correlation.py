"""Convolution on CPUs without AVX-512, whose registers are narrow."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from msdi_jax.networks import convolution
from msdi_jax.networks.rewrites import correlation
from msdi_jax.runtime import target


@pytest.fixture
def cpu_with(monkeypatch, tmp_path):
    """features → a CPU with these features."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(target, "CPUINFO", file)
    target._host_has_narrow_registers.cache_clear()
    # On machines with a GPU too.
    with target.tracing_for("cpu"):
        yield lambda features: file.write_text(f"flags\t\t: fpu {features}\n")
    target._host_has_narrow_registers.cache_clear()


def count_products(channels):
    """Count the matrix products in the gradient of a 5×5 kernel."""
    x, kernel = jnp.zeros((1, 12, 12, channels)), jnp.zeros((5, 5, channels, channels))

    def loss(kernel, x):
        return convolution.convolve(x, kernel, padding=2).sum()

    return str(jax.make_jaxpr(jax.grad(loss))(kernel, x)).count("dot_general[")


@pytest.mark.parametrize(
    ("features", "channels", "products"),
    [
        ("sse2 avx2", 32, 5),
        ("sse2 avx2", 16, 0),
        ("sse2 avx2 avx512f", 32, 0),
        # An ARM CPU.
        ("asimd", 32, 0),
    ],
)
def test_kernel_gradients_are_products_where_registers_are_narrow(
    cpu_with, features, channels, products
):
    cpu_with(features)
    assert count_products(channels) == products


def test_there_are_no_products_where_devices_share_rows(monkeypatch, cpu_with):
    cpu_with("sse2")
    monkeypatch.setattr(correlation, "shares_rows", lambda: True)
    assert count_products(32) == 0


def test_products_do_not_depend_on_axes_of_other_meshes(cpu_with):
    cpu_with("sse2")
    with jax.set_mesh(jax.make_mesh((1,), ("x",))):
        assert count_products(32) == 5


@pytest.mark.parametrize(("features", "most"), [("sse2 avx2", 8), ("sse2 avx512f", 16)])
def test_pairs_of_columns_fill_a_register(cpu_with, features, most):
    cpu_with(features)

    def is_paired(channels):
        x, kernel = jnp.zeros((1, 12, 12, channels)), jnp.zeros((3, 3, channels, channels))
        return f"3,2,{2 * channels}" in str(
            jax.make_jaxpr(partial(convolution.convolve, padding=1))(x, kernel)
        )

    assert [is_paired(most), is_paired(most + 1)] == [True, False]
