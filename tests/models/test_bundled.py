"""The model that comes with the package, on blurs and photographs that it was not trained on."""

import cv2
import numpy as np
import pytest

from msdi_jax import BUNDLED, load
from msdi_jax.cli.main import main
from msdi_jax.data import photographs
from msdi_jax.data.synthesis import shared_blur
from msdi_jax.data.synthesis.camera_motion import draw_shake
from msdi_jax.data.synthesis.render import render
from msdi_jax.models import DIRECTORIES, find, read_description
from msdi_jax.research import motion, transfer
from msdi_jax.restoration import image_io, restore


@pytest.fixture(scope="module")
def pairs():
    """(blurry, sharp) in [0, 1]: the two test photographs of scikit-image, two blurs each."""
    return [
        tuple(
            image_io.to_unit(image)
            for image in render(photograph.read(), draw_shake(seed, 160, 240, max_layers=0))
        )
        for photograph in photographs.embedded().test
        for seed in (1, 2)
    ]


@pytest.fixture(scope="module")
def joint():
    return load(find(BUNDLED, DIRECTORIES["reblur"]))


def psnr(a, b):
    return -10 * np.log10(np.mean((a - b) ** 2))


def test_it_is_small_and_has_a_licence():
    assert sum(file.stat().st_size for file in BUNDLED.rglob("*") if file.is_file()) <= 16e6
    for name in DIRECTORIES.values():
        description = read_description(find(BUNDLED, name))
        assert description.architecture.native
        assert description.licence == "CC BY 4.0"


def test_it_deblurs_and_leaves_sharp_images_alone(pairs):
    deblur = load(BUNDLED).deblur
    gains, kept = [], []
    for blurry, sharp in pairs:
        gains.append(psnr(restore.whole(deblur, blurry), sharp) - psnr(blurry, sharp))
        kept.append(psnr(restore.whole(deblur, sharp), sharp))
    assert np.mean(gains) > 0.1
    assert np.mean(kept) > 40


def test_levels_of_blur_are_in_order(joint, pairs):
    for blurry, sharp in pairs:
        levels = transfer.interpolate(joint, sharp, blurry, [0, 0.5, 1])
        energies = [transfer.gradient_energy(level) for level in levels]
        assert energies[0] > 1.1 * energies[1] > 1.21 * energies[2]


def test_the_representation_of_a_blurry_image_reproduces_its_blur(joint, pairs):
    """It does so better than the sharp image itself or its representation does."""
    own, left, sharps = [], [], []
    for blurry, sharp in pairs:
        none, full = transfer.interpolate(joint, sharp, blurry, [0, 1])
        own.append(psnr(full, blurry))
        left.append(psnr(sharp, blurry))
        sharps.append(psnr(none, blurry))
    assert np.mean(own) > np.mean(left) + 1
    assert np.mean(own) > np.mean(sharps) + 1


@pytest.fixture(scope="module")
def halves():
    """The same photographs at half their size."""
    pictures = [photograph.read() for photograph in photographs.embedded().test]
    return [
        image_io.to_unit(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        for picture in pictures
    ]


def moved(picture, degrees):
    kernel = motion.line(10, np.deg2rad(degrees)).astype(np.float32)
    return cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT)


def test_its_representation_has_the_direction_of_blur(joint, halves):
    """Read from the channels that `losses.motion` trains."""
    for picture in halves:
        directions = []
        for degrees in (0, 45, 90, 135):
            cells = transfer.representation(joint, moved(picture, degrees))[0]
            directions.append((cells[..., 1:3] - cells[..., 4:6]).mean((0, 1)))
        right, down_right, down, down_left = directions
        assert right[0] - down[0] > 2
        assert down_right[1] - down_left[1] > 2


def test_moved_blur_keeps_its_direction(joint, halves):
    for source, target in (halves, halves[::-1]):
        blurs = [moved(source, degrees) for degrees in (0, 90)]
        across, upright = (
            shared_blur.motion_target(motion.measure(target, np.asarray(row[0], np.float32)))[
                ..., 1
            ].mean()
            for row in transfer.transfer(joint, blurs, [target])
        )
        assert across - upright > 0.4


def test_commands_take_it_by_default(tmp_path, pairs):
    image_io.write(tmp_path / "photo.png", image_io.to_uint8(pairs[0][0]))
    main(["deblur", f"--input={tmp_path / 'photo.png'}", f"--output={tmp_path / 'out.png'}"])
    deblurred = image_io.to_unit(image_io.read(tmp_path / "out.png"))
    bundled = load(BUNDLED)
    assert bundled.description.orientations == 2
    expected = restore.whole(bundled.deblur, pairs[0][0])
    np.testing.assert_allclose(deblurred, expected, atol=2 / 255)
    main(["reblur", "maps", f"--input={tmp_path / 'photo.png'}", f"--output={tmp_path / 'm.png'}"])
    assert (tmp_path / "m.png").exists()
