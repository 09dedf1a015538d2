"""Measuring motion: blur of known kernels, and of true camera shakes, is found again."""

import cv2
import numpy as np
import pytest

from msdi_jax.data.synthesis.camera_motion import draw_shake, motion_field
from msdi_jax.data.synthesis.render import render
from msdi_jax.research import motion
from msdi_jax.restoration.image_io import to_unit


@pytest.fixture(scope="module")
def sharp():
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.uniform(size=(128, 160, 3)).astype(np.float32), (0, 0), 1)


@pytest.mark.parametrize(("length", "angle"), [(4, 0), (8, np.pi / 4), (8, 5 * np.pi / 6)])
def test_known_blur_is_found(sharp, length, angle):
    blurry = cv2.filter2D(sharp, -1, motion.line(length, angle), borderType=cv2.BORDER_REFLECT)
    found = motion.measure(sharp, blurry)
    assert found.length.shape == (4, 5)
    np.testing.assert_allclose(found.length, length)
    np.testing.assert_allclose(found.direction, angle)


def test_no_blur_has_no_length(sharp):
    assert (motion.measure(sharp, sharp).length == 0).all()


def test_kernels_are_centred_and_turn_from_x_towards_y():
    kernel = motion.line(8.0, np.pi / 6)
    assert kernel.sum() == pytest.approx(1)
    y, x = np.mgrid[-5:6, -5:6]
    assert (kernel * x).sum() == pytest.approx(0, abs=1e-9)
    assert (kernel * y).sum() == pytest.approx(0, abs=1e-9)
    assert (kernel * x * y).sum() > 0


def test_true_shakes_are_measured():
    photo = np.random.default_rng(1).integers(0, 256, (640, 640, 3), np.uint8)
    true, found = [], []
    for seed in range(8):
        shake = draw_shake(seed, 160, 192, strength=4, max_layers=0)
        blurry, sharp = (to_unit(image) for image in render(photo, shake))
        measured = motion.measure(sharp, blurry)
        true.append(np.log2(1 + motion_field(shake, measured.length.shape).length).mean())
        found.append(np.log2(1 + measured.length).mean())
    assert np.corrcoef(true, found)[0, 1] > 0.8


def test_images_of_one_size_are_asked_for(sharp):
    with pytest.raises(ValueError, match="must be of one size"):
        motion.measure(sharp, sharp[:-1])
