"""Half instance norms with statistics of windows around each pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax import models
from msdi_jax.networks import layers, local_statistics
from tests.small_networks import small_network

RNG = np.random.default_rng(0)


def test_the_centre_of_a_window_has_its_mean_and_variance():
    # Means differ much between windows: small deviations from them must not be lost.
    x = RNG.normal(size=(2, 24, 33, 3)).astype(np.float32) + 1e3 * np.arange(33)[:, None]
    mean, factor = local_statistics.moments(x, 17)
    inside = x[:, 7:24, 16:33]
    # 17 = 33 - 16, and starts are spread evenly over the 24 - 17 + 1 places of a window.
    np.testing.assert_allclose(mean[:, -1, -1], inside.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(factor[:, -1, -1], inside.var((1, 2)) ** -0.5, rtol=1e-4)
    np.testing.assert_allclose(mean[:, 0, 0], x[:, :17, :17].mean((1, 2)), rtol=1e-5)
    # At a border the window is the one that touches it, so that statistics are constant there.
    np.testing.assert_array_equal(mean[:, 0, 0], mean[:, 8, 8])


def test_statistics_change_linearly_between_centres():
    x = np.broadcast_to(np.arange(64.0)[:, None], (1, 16, 64, 2)).astype(np.float32)
    mean, _ = local_statistics.moments(x, 16)
    # The mean of a window of a ramp is its centre.
    np.testing.assert_allclose(mean[0, :, 8:56, 0], np.tile(np.arange(8.0, 56), (16, 1)), atol=1e-4)


@pytest.mark.parametrize("window", [1, 3, 7, 50])
def test_small_windows_are_at_every_position(window):
    x = np.broadcast_to(RNG.normal(size=50)[:, None], (1, 8, 50, 1)).astype(np.float32)
    mean, _ = local_statistics.moments(x, window)
    sliding = np.convolve(x[0, 0, :, 0], np.ones(window) / window, "valid")
    half = window // 2
    windowed = mean[0, 0, half : half + len(sliding), 0] if window % 2 else mean[0, 0, :1, 0]
    np.testing.assert_allclose(windowed, sliding, atol=1e-5)


def test_a_window_of_the_whole_image_equals_the_usual_norm():
    norm = layers.HalfInstanceNorm(6)
    x = RNG.normal(2, 3, size=(2, 12, 20, 6)).astype(np.float32)
    usual = norm(x)
    norm.window = 20
    np.testing.assert_allclose(norm(x), usual, atol=1e-6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    architecture = models.Architecture("msdi_net", 2, depth=3, patch=2)
    path = tmp_path_factory.mktemp("windows") / "model"
    description = models.Description(architecture, {}, "", window=32)
    models.save(path, small_network(architecture), description)
    return path


def sides(model):
    norms = (x for _, x in nnx.iter_graph(model.network) if isinstance(x, layers.HalfInstanceNorm))
    return {(norm.channels, norm.window) for norm in norms}


def test_windows_have_one_size_in_the_image_at_all_levels(saved):
    model = models.load(saved)
    assert sides(model) == {(2, 16), (4, 8), (8, 4)}
    image = RNG.random((1, 64, 96, 3), np.float32)
    whole = model.using(window=None)
    assert sides(whole) == {(2, None), (4, None), (8, None)}
    # The first network keeps its windows.
    assert sides(model) == {(2, 16), (4, 8), (8, 4)}
    difference = np.abs(model.deblur(image) - whole.deblur(image))
    assert difference.max() > 1e-3
    np.testing.assert_allclose(model.using(window=96).deblur(image), whole.deblur(image), atol=1e-5)


def test_a_norm_with_windows_has_the_right_gradient():
    def total(x):
        mean, factor = local_statistics.moments(x, 8)
        return ((x - mean) * factor * weights).sum()

    x, weights, step = RNG.normal(size=(3, 1, 16, 24, 2))
    step *= 1e-5
    with jax.enable_x64(True):
        gradient = jax.grad(total)(jnp.asarray(x))
        change = total(jnp.asarray(x + step)) - total(jnp.asarray(x - step))
        np.testing.assert_allclose(np.vdot(gradient, step), change / 2, rtol=1e-5)


@pytest.mark.parametrize("size", [(7, 12), (5, 5), (4, 9)])
def test_means_of_windows_that_move_by_pixels(size):
    """By their definition; at borders the nearest window counts."""
    x = np.random.default_rng(0).uniform(size=(2, *size, 3))
    window = 5
    lengths = [min(window, side) for side in size]
    counts = [side - length + 1 for side, length in zip(size, lengths, strict=True)]
    expected = np.empty_like(x)
    for i, j in np.ndindex(*size):
        top, left = (
            int(np.clip(place - (side - count) // 2, 0, count - 1))
            for place, side, count in zip((i, j), size, counts, strict=True)
        )
        expected[:, i, j] = x[:, top : top + lengths[0], left : left + lengths[1]].mean((1, 2))
    found = local_statistics.mean(jnp.asarray(x, jnp.float32), window)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("side", [1, 7, 24, 25, 64, 333])
def test_matrices_of_symbolic_sides_are_the_constant_ones(side):
    """They are computed by jax.numpy in exported programs."""
    for actual, expected in zip(
        local_statistics._matrices(jnp, side, 24),
        local_statistics._matrices(np, side, 24),
        strict=True,
    ):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)
