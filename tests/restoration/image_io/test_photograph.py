"""Pixels as numbers, and colours under transparency."""

import numpy as np

from msdi_jax.restoration import image_io
from tests.restoration.pictures import HEIGHT, WIDTH, draw


def test_to_uint8_clips_and_rounds():
    """Halves go to the even neighbour, as in NumPy and PyTorch."""
    x = np.array([-0.2, 0, 0.4 / 255, 0.6 / 255, 1.5 / 255, 2.5 / 255, 254.6 / 255, 1, 7])
    found = image_io.to_uint8(x)
    assert found.dtype == np.uint8
    assert found.tolist() == [0, 0, 0, 1, 2, 2, 255, 255, 255]


def test_every_level_survives_the_unit_range():
    levels = np.arange(256, dtype=np.uint8)
    unit = image_io.to_unit(levels)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, np.arange(256) / 255, rtol=1e-7)
    np.testing.assert_array_equal(image_io.to_uint8(unit), levels)


def test_16_bits_are_restored_without_passing_8(tmp_path):
    values = draw(HEIGHT, WIDTH, 3, dtype=np.uint16)
    photograph = image_io.Photograph(values)
    np.testing.assert_array_equal(photograph.restored(photograph.unit()).rgb, values)


def test_colours_under_full_transparency_change_nothing_visible():
    """Whatever a program left there; and it is put back."""
    alpha = np.full((6, 8), 255, np.uint8)
    alpha[1:4, 2:5] = 0
    alpha[0, 0] = 1
    seen = draw(6, 8, 3)
    results = []
    for hidden in (0, 255, seen[2, 3]):
        rgb = np.where(alpha[..., None] == 0, np.uint8(hidden), seen)
        photograph = image_io.Photograph(rgb, alpha)
        unit = photograph.unit()
        # A filter that looks at the neighbours, as networks do.
        results.append(unit)
        restored = photograph.restored(np.roll(unit, 1, axis=0)).rgb
        np.testing.assert_array_equal(restored[alpha == 0], rgb[alpha == 0])
        np.testing.assert_array_equal(restored[5], seen[4])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(image_io.to_uint8(results[0])[alpha > 0], seen[alpha > 0])


def test_hidden_pixels_take_the_nearest_visible_colour():
    rgb = np.zeros((1, 5, 3), np.uint16)
    rgb[0, 0], rgb[0, 4] = 1000, 3000
    alpha = np.array([[9, 0, 0, 0, 65535]], np.uint16)
    unit = image_io.Photograph(rgb, alpha).unit()
    assert image_io.to_uint16(unit)[0, [0, 1, 3, 4], 0].tolist() == [1000, 1000, 3000, 3000]


def test_a_photograph_without_visible_pixels_stays():
    rgb = draw(4, 4, 3)
    photograph = image_io.Photograph(rgb, np.zeros((4, 4), np.uint8))
    np.testing.assert_array_equal(photograph.restored(1 - photograph.unit()).rgb, rgb)
