import dataclasses

import numpy as np
import pytest

from msdi_jax import models
from tests.models.samples import DESCRIPTION, Echo


def test_images_without_a_batch_dimension_are_refused(loaded):
    with pytest.raises(ValueError, match=r"shape \(32, 32, 3\) must be \(number, height"):
        loaded.degradation(np.zeros((32, 32, 3), np.float32))


def test_integer_images_are_refused(loaded):
    image = np.zeros((1, 32, 32, 3), np.uint8)
    for call in (
        lambda: loaded(image, image),
        lambda: loaded.deblur(image),
        lambda: loaded.degradation(image),
        lambda: loaded.reblur(image, None),
    ):
        with pytest.raises(ValueError, match=r"uint8 are not in \[0, 1\]: .*to_unit"):
            call()


def test_empty_images_are_refused(loaded):
    for shape in ((0, 32, 32, 3), (1, 0, 32, 3)):
        with pytest.raises(ValueError, match="expected images of shape"):
            loaded(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


@pytest.mark.parametrize("changes", [{"orientations": 3}, {"window": 5}])
def test_impossible_settings_of_use_are_refused(loaded, changes):
    with pytest.raises(ValueError, match="".join(changes)):
        loaded.using(**changes)


def test_sides_that_are_no_multiples_of_16_are_refused(loaded):
    fits, other = (np.zeros((1, 32, width, 3), np.float32) for width in (32, 40))
    for call in (lambda: loaded(fits, other), lambda: loaded.deblur(other)):
        with pytest.raises(ValueError, match="multiples of 16, got 32×40"):
            call()


def test_a_joint_model_takes_blurry_and_sharp():
    joint = models.Model(Echo(), DESCRIPTION)
    assert joint.architecture.reblurs
    blurry, sharp = np.full((1, 16, 16, 3), 0.25), np.full((1, 16, 16, 3), 0.75)
    output = joint(blurry, sharp)
    np.testing.assert_array_equal(output.deblurred, 1.25 * np.ones_like(blurry))
    np.testing.assert_array_equal(output.reblurred, sharp)
    np.testing.assert_array_equal(joint.deblur(sharp), 2.25 * np.ones_like(blurry))
    np.testing.assert_array_equal(joint.degradation(blurry).representation.ravel(), [0.25] * 3)
    for images in ((), (blurry,), (blurry, sharp, sharp)):
        with pytest.raises(ValueError, match=r"model takes \(blurry, sharp\) images"):
            joint(*images)


def test_models_of_one_architecture_share_their_programs(saved, loaded):
    assert models.load(saved)._call is loaded._call
    assert loaded.using(window=32)._call is not loaded._call


def test_a_deblurring_model_takes_one_image():
    architecture = models.Architecture("msdi_net", 2)
    deblurring = models.Model(Echo(), dataclasses.replace(DESCRIPTION, architecture=architecture))
    assert not deblurring.architecture.reblurs
    image = np.zeros((1, 16, 16, 3))
    for images in ((), (image, image)):
        with pytest.raises(ValueError, match=r"msdi_net model takes \(blurry\) images"):
            deblurring(*images)
