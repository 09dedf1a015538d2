"""Half instance norms whose statistics are those of windows around each pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax import models
from msdi_jax.networks import layers, local_statistics
from tests.small_networks import small_network

RNG = np.random.default_rng(0)


def test_in_the_middle_of_a_window_its_own_mean_and_variance():
    # Means that differ much between the windows: what is near 0 beside them must not be lost.
    x = RNG.normal(size=(2, 24, 33, 3)).astype(np.float32) + 1e3 * np.arange(33)[:, None]
    mean, factor = local_statistics.moments(x, 17)
    inside = x[:, 7:24, 16:33]
    # 17 = 33 - 16, and starts are spread evenly over the 24 - 17 + 1 places of a window.
    np.testing.assert_allclose(mean[:, -1, -1], inside.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(factor[:, -1, -1], inside.var((1, 2)) ** -0.5, rtol=1e-4)
    np.testing.assert_allclose(mean[:, 0, 0], x[:, :17, :17].mean((1, 2)), rtol=1e-5)
    # At a border the window is the one that touches it, so that statistics are constant there.
    np.testing.assert_array_equal(mean[:, 0, 0], mean[:, 8, 8])


def test_between_middles_they_change_evenly():
    x = np.broadcast_to(np.arange(64.0)[:, None], (1, 16, 64, 2)).astype(np.float32)
    mean, _ = local_statistics.moments(x, 16)
    # Of a ramp the mean of a window is its middle.
    np.testing.assert_allclose(mean[0, :, 8:56, 0], np.tile(np.arange(8.0, 56), (16, 1)), atol=1e-4)


@pytest.mark.parametrize("window", [1, 3, 7, 50])
def test_of_small_windows_every_place_counts(window):
    x = np.broadcast_to(RNG.normal(size=50)[:, None], (1, 8, 50, 1)).astype(np.float32)
    mean, _ = local_statistics.moments(x, window)
    sliding = np.convolve(x[0, 0, :, 0], np.ones(window) / window, "valid")
    half = window // 2
    found = mean[0, 0, half : half + len(sliding), 0] if window % 2 else mean[0, 0, :1, 0]
    np.testing.assert_allclose(found, sliding, atol=1e-5)


def test_a_window_of_the_whole_image_is_the_usual_norm():
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


def sides(found):
    norms = (x for _, x in nnx.iter_graph(found.network) if isinstance(x, layers.HalfInstanceNorm))
    return {(norm.channels, norm.window) for norm in norms}


def test_levels_have_windows_of_one_size_in_the_image(saved):
    found = models.load(saved)
    assert sides(found) == {(2, 16), (4, 8), (8, 4)}
    image = RNG.random((1, 64, 96, 3), np.float32)
    whole = found.using(window=None)
    assert sides(whole) == {(2, None), (4, None), (8, None)}
    # Another network came out: the first keeps its own.
    assert sides(found) == {(2, 16), (4, 8), (8, 4)}
    difference = np.abs(found.deblur(image) - whole.deblur(image))
    assert difference.max() > 1e-3
    np.testing.assert_allclose(found.using(window=96).deblur(image), whole.deblur(image), atol=1e-5)


def test_a_norm_with_windows_is_differentiable():
    def total(x):
        mean, factor = local_statistics.moments(x, 8)
        return ((x - mean) * factor * weights).sum()

    x, weights, step = RNG.normal(size=(3, 1, 16, 24, 2))
    step *= 1e-5
    with jax.enable_x64(True):
        found = jax.grad(total)(jnp.asarray(x))
        change = total(jnp.asarray(x + step)) - total(jnp.asarray(x - step))
        np.testing.assert_allclose(np.vdot(found, step), change / 2, rtol=1e-5)
