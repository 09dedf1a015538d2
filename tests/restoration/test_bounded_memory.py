"""Tiles within a bound on memory against the photograph in one piece."""

import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks import timing
from msdi_jax import models
from msdi_jax.networks.discriminator import MultiscaleDiscriminator
from msdi_jax.networks.functional import abstract
from msdi_jax.restoration import bounded_memory, restore
from tests.small_networks import small_network

# All five levels, for the published reach around a pixel.
DEEP = models.Architecture("msdi_net", 2)
# The network takes about 16 MB for a pass over 272×512 pixels.
PASS = 12 * 10**6
SMALL = bounded_memory.PROCESS + bounded_memory.COPIES * 272 * 512 + PASS


@pytest.fixture(scope="module")
def network():
    return models.Model(small_network(DEEP), models.Description(DEEP, {}, ""))


@pytest.fixture(scope="module")
def large(network):
    return bounded_memory.BoundedRestorer(network)


@pytest.fixture(scope="module")
def small(network):
    return bounded_memory.BoundedRestorer(network, SMALL)


def smooth_picture(height, width):
    rng = np.random.default_rng(0)
    coarse = jnp.asarray(rng.uniform(size=(height // 16 + 1, width // 16 + 1, 3)), jnp.float32)
    return np.asarray(jax.image.resize(coarse, (height, width, 3), "cubic").clip(0, 1))


@pytest.mark.parametrize("side", [16, 272, 400, 1024, 4000])
@pytest.mark.parametrize("tile", [256, 320, 512])
def test_tiles_cover_the_axis_with_weights_that_sum_to_one(side, tile):
    total = np.zeros(side)
    for start, weights in bounded_memory.spans(side, tile):
        assert start % 16 == 0
        assert len(weights) == min(tile, side)
        total[start : start + len(weights)] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_weights_are_smooth_and_leave_out_a_tiles_own_border():
    for start, weights in bounded_memory.spans(1024, 400):
        assert np.abs(np.diff(weights)).max() < 0.02
        assert start == 0 or (weights[: bounded_memory.MARGIN] == 0).all()
        assert start == 1024 - 400 or (weights[-bounded_memory.MARGIN :] == 0).all()
        assert weights.max() == pytest.approx(1)


@pytest.mark.parametrize(
    ("size", "pixels", "found"),
    [
        ((3008, 4000), 3008 * 4000, (3008, 4000)),
        ((256, 4000), 256 * 1000, (256, 928)),
        ((4000, 256), 256 * 1000, (928, 256)),
        ((1024, 1024), 128 * 128, None),
        ((16, 1024), 16 * 256, (16, 256)),
        ((16, 70000), 10**9, (16, 4032)),
        ((30000, 128), 10**9, (3888, 128)),
    ],
)
def test_tile_shape(size, pixels, found):
    assert bounded_memory.tile_shape(*size, pixels) == found


def test_the_weights_of_a_long_side_take_memory_in_proportion():
    tracemalloc.start()
    assert len(bounded_memory.spans(320_000, 256)) == 2499
    assert tracemalloc.get_traced_memory()[1] < 64 * 320_000
    tracemalloc.stop()


@pytest.mark.parametrize("size", [(1024, 1024), (3008, 4000), (272, 8000), (736, 1280)])
@pytest.mark.parametrize("pixels", [256 * 256, 300_000, 500_000])
def test_tiles_overlap_enough_within_the_pixels(size, pixels):
    tile = bounded_memory.tile_shape(*size, pixels)
    assert tile[0] * tile[1] <= pixels
    for side, length in zip(size, tile, strict=True):
        starts = [span.start for span in bounded_memory.spans(side, length)]
        assert starts[-1] + length == side
        assert len(starts) == 1 or max(np.diff(starts)) <= length - bounded_memory.OVERLAP + 15


def test_cropped_maps_are_those_of_the_whole_image():
    rng = np.random.default_rng(0)
    height, width, top, left, tile = 336, 400, 48, 128, (176, 208)
    maps = tuple(rng.uniform(size=(1, 256 >> i, 256 >> i, 2)).astype(np.float32) for i in range(4))
    place = np.array([top, left, height, width])
    found = jax.jit(bounded_memory.crop_maps, static_argnums=1)(maps, tile, place)
    for level, cropped in enumerate(found):
        side, here = 256 >> level, [n >> level for n in (height, width)]
        rows, columns = (np.arange(n) * side // n for n in here)
        full = maps[level][:, rows][:, :, columns]
        rows = slice(top >> level, (top + tile[0]) >> level)
        columns = slice(left >> level, (left + tile[1]) >> level)
        np.testing.assert_array_equal(cropped, full[:, rows, columns])


def test_what_fits_is_restored_in_one_piece(network, large):
    x = np.random.default_rng(0).uniform(size=(17, 23, 3)).astype(np.float32)
    expected = restore.whole(network.deblur, x)
    np.testing.assert_allclose(np.clip(large(x[None])[0], 0, 1), expected, atol=2e-6)


def test_tiles_stay_below_the_bound_and_show_no_seams(network, large, small):
    x = smooth_picture(270, 500)
    tile = small.tile(272, 512)
    # In more than one piece, so that there are borders to look at.
    assert tile[0] == 272
    assert tile[1] < 512
    sizes = small.program(tile).memory_analysis()
    arrays = sum(a.nbytes for a in jax.tree.leaves(nnx.state(network.network)))
    taken = arrays + sizes.temp_size_in_bytes + sizes.output_size_in_bytes
    assert taken <= PASS

    whole, tiled = large(x[None])[0], small(x[None])[0]
    effect = np.abs(whole - x).max()
    difference = tiled - whole
    assert np.abs(difference).max() < 0.1 * effect
    edges = {e for s in bounded_memory.spans(512, tile[1]) for e in (s.start, s.start + tile[1])}
    for edge in sorted(edges - {0, 512}):
        # A seam is a step that all rows share.
        step = (difference[:, edge] - difference[:, edge - 1]).mean()
        assert abs(step) < 1e-3, f"seam at column {edge}"


def test_too_little_memory_is_refused_with_what_it_takes(small, monkeypatch):
    monkeypatch.setattr(small, "memory", SMALL - 10 * 10**6)
    with pytest.raises(ValueError, match="allow at least") as error:
        small.tile(272, 512)
    least = int(str(error.value).split()[-2])
    monkeypatch.setattr(small, "memory", least * 10**6)
    assert small.tile(272, 512)[1] < 512


def test_a_large_photograph_may_take_what_it_is_itself(large):
    """48 megapixels: without their own 39 bytes per px, nothing would be left of the 2 GB."""
    assert large.bound(3000, 4000) == pytest.approx(bounded_memory.MEMORY, rel=0.01)
    assert large.bound(6048, 8064) - large.bound(3000, 4000) == bounded_memory.COPIES * 36_771_072
    assert min(large.tile(6048, 8064)) >= bounded_memory.SMALLEST


def test_models_that_deblur_nothing_are_refused():
    other = abstract(lambda rngs: MultiscaleDiscriminator(2, rngs=rngs))
    description = models.Description(models.Architecture("discriminator", 2), {}, "")
    with pytest.raises(ValueError, match="a discriminator model does not deblur"):
        bounded_memory.BoundedRestorer(models.Model(other, description))


@pytest.mark.slow
def test_a_published_width_fits_the_memory_of_default():
    network, _ = timing.stand_in_weights(models.Architecture("msdi_net", 64))
    description = models.Description(models.Architecture("msdi_net", 64), {}, "")
    tile = bounded_memory.BoundedRestorer(models.Model(network, description)).tile(720, 1280)
    assert min(tile) >= bounded_memory.SMALLEST
