import dataclasses

import numpy as np
import pytest
from PIL import Image

from data import twins
from data.camera_shake.camera_shake_dataset_builder import Settings
from data.photographs import Photograph
from data.pipeline import batches_of_crops
from data.twins import Twins

SETTINGS = Settings(longest_side=256, domain="both")


@pytest.fixture
def photographs(tmp_path):
    """One flat but for its right half, which is noise; one of noise all over."""
    rng = np.random.default_rng(0)
    made = []
    for name, columns in (("half", 200), ("all", 400)):
        pixels = np.full((400, 400, 3), 128, np.uint8)
        pixels[:, 400 - columns :] = rng.integers(256, size=(400, columns, 3))
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        made.append(Photograph(name, tmp_path / f"{name}.png"))
    return made


def test_two_and_two_are_blurred_alike(photographs, monkeypatch):
    rendered = []

    def render(picture, shake):
        rendered.append(shake)
        blank = np.zeros((shake.height, shake.width, 3), np.uint8)
        return blank, blank

    monkeypatch.setattr(twins, "render", render)
    source = Twins(photographs, SETTINGS, 32)
    for index in range(4):
        assert source[index]["blurry"].shape == (32, 32, 3)
    first, second, third, fourth = rendered
    for one, other in ((first, second), (third, fourth)):
        np.testing.assert_array_equal(one.camera, other.camera)
        assert one.domain == other.domain
        # Neither the place nor the noise.
        assert one.view != other.view
        assert one.seed != other.seed
    assert first.camera.shape != third.camera.shape or (first.camera != third.camera).any()
    assert first.domain != third.domain


def test_a_record_depends_on_settings_and_index_alone(photographs):
    source, again = (Twins(photographs, SETTINGS, 32) for _ in range(2))
    other = Twins(photographs, dataclasses.replace(SETTINGS, seed=1), 32)
    for key in ("blurry", "sharp"):
        np.testing.assert_array_equal(source[7][key], again[7][key])
        assert not np.array_equal(source[7][key], other[7][key])
    assert not np.array_equal(source[7]["blurry"], source[7]["sharp"])


def test_twins_stay_neighbours_in_batches(photographs):
    source = Twins(photographs, SETTINGS, 32)
    steps = batches_of_crops(source, batch_size=4, seed=0)
    for key in ("blurry", "sharp"):
        np.testing.assert_array_equal(steps[2][key], [source[i][key] for i in range(8, 12)])
    second = batches_of_crops(source, batch_size=4, seed=0, process=1, processes=2)
    np.testing.assert_array_equal(second[2]["sharp"], steps[2]["sharp"][2:])


def test_of_several_windows_the_most_detailed_is_taken(photographs):
    one, many = (
        [Twins(photographs[:1], SETTINGS, 32, windows)[i]["sharp"].std() for i in range(40)]
        for windows in (1, 6)
    )
    assert sum(found < 1 for found in one) >= 4
    assert sum(found < 1 for found in many) <= 1


def test_twins_are_sharp_together(photographs):
    source = Twins(photographs[1:], SETTINGS, 32, sharp=0.5)
    error = [
        np.abs(pair["blurry"].astype(int) - pair["sharp"]).mean()
        for pair in (source[index] for index in range(40))
    ]
    # What is not blurred is noisy all the same.
    sharp = np.array(error).reshape(-1, 2) < 6
    assert 4 < sharp[:, 0].sum() < 16
    np.testing.assert_array_equal(sharp[:, 0], sharp[:, 1])


def test_too_small_photographs_are_refused(photographs):
    with pytest.raises(ValueError, match=r"half.png is too small: crops of 384 px .* need 432 px"):
        Twins(photographs, SETTINGS, 384)
