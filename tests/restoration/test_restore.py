import numpy as np
import pytest

from msdi_jax.restoration import restore

SIZES = [(1, 1), (1, 40), (17, 23), (256, 256), (300, 700)]


def picture(height, width):
    return np.random.default_rng(height).uniform(size=(height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("size", ["720x1280", "256x256", "300x700", "774x680", "257x513"])
def test_published_tiles(golden, size):
    height, width = map(int, size.split("x"))
    found = restore.tile_origins(height, width)
    np.testing.assert_array_equal(found, golden("protocol")[f"tiles/{size}"])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", restore.MODES)
def test_identity_gives_the_image_back(size, mode):
    image = picture(*size)
    shapes = []

    def identity(x):
        shapes.append(x.shape)
        assert x.dtype == np.float32
        return x

    np.testing.assert_array_equal(restore.MODES[mode](identity, image), image)
    assert {shape[0] for shape in shapes} == {1}
    assert all(side % 16 == 0 for shape in shapes for side in shape[1:3])
    if mode == "grid":
        assert {shape[1:3] for shape in shapes} == {(256, 256)}
    else:
        least = tuple(-(-side // 16) * 16 for side in size)
        assert shapes == [(1, *least, 3)]


def test_padding_reflects():
    """Three pixels grow to sixteen by going back and forth without repeating the ends."""
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3) / 10
    seen = []
    restore.whole(lambda x: seen.append(x) or x, image)
    columns = [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    np.testing.assert_array_equal(seen[0], np.broadcast_to(image[:, columns], (1, 16, 16, 3)))


def test_overlaps_are_averaged_before_clipping():
    """Tiles of a 256×300 image start at columns 0 and 44: the second ends what the first began."""
    answers = iter([3.0, -2.5])
    found = restore.grid(lambda x: np.full_like(x, next(answers)), picture(256, 300))
    expected = np.repeat([1.0, (3.0 - 2.5) / 2, 0.0], [44, 256 - 44, 44])
    np.testing.assert_array_equal(found, np.broadcast_to(expected[:, None], (256, 300, 3)))


def test_every_tile_counts_alike_where_four_meet():
    answers = iter([0.1, 0.2, 0.3, 0.8])
    found = restore.grid(lambda x: np.full_like(x, next(answers)), picture(300, 300))
    np.testing.assert_allclose(found[150, 150], 1.4 / 4, rtol=1e-6)
    np.testing.assert_allclose(found[[0, 0, -1, -1], [0, -1, 0, -1], 0], [0.1, 0.2, 0.3, 0.8])


@pytest.mark.parametrize("mode", restore.MODES)
def test_output_is_clipped(mode):
    found = restore.MODES[mode](lambda x: 3 * x - 1, picture(20, 20))
    np.testing.assert_allclose(found, np.clip(3 * picture(20, 20) - 1, 0, 1), atol=1e-6)
    assert (found == 0).any()
    assert (found == 1).any()
