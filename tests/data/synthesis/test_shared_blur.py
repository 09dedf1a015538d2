import dataclasses

import numpy as np
import pytest
from PIL import Image

from msdi_jax.data.augment import Augmentation
from msdi_jax.data.camera_shake.camera_shake_dataset_builder import Settings
from msdi_jax.data.photographs import Photograph
from msdi_jax.data.pipeline import batches_of_crops
from msdi_jax.data.synthesis import shared_blur
from msdi_jax.data.synthesis.camera_motion import MotionField, motion_field
from msdi_jax.data.synthesis.shared_blur import SharedBlurPairs, motion_target

SETTINGS = Settings(longest_side=256, domain="both")


@pytest.fixture
def photographs(tmp_path):
    """One flat but for its right half, which is noise; one of noise all over."""
    rng = np.random.default_rng(0)
    photographs = []
    for name, columns in (("half", 200), ("all", 400)):
        pixels = np.full((400, 400, 3), 128, np.uint8)
        pixels[:, 400 - columns :] = rng.integers(256, size=(400, columns, 3))
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        photographs.append(Photograph(name, tmp_path / f"{name}.png"))
    return photographs


def test_both_records_of_a_pair_have_one_blur(photographs, monkeypatch):
    rendered = []

    def render(picture, shake):
        rendered.append(shake)
        blank = np.zeros((shake.height, shake.width, 3), np.uint8)
        return blank, blank

    monkeypatch.setattr(shared_blur, "render_evenly", render)
    source = SharedBlurPairs(photographs, SETTINGS, 32)
    records = [source[index] for index in range(4)]
    assert all(record["blurry"].shape == (32, 32, 3) for record in records)
    first, second, third, fourth = rendered
    for one, other in ((first, second), (third, fourth)):
        np.testing.assert_array_equal(one.camera, other.camera)
        assert one.domain == other.domain
        # Place and noise differ.
        assert one.view != other.view
        assert one.seed != other.seed
    assert first.camera.shape != third.camera.shape or (first.camera != third.camera).any()
    assert first.domain != third.domain
    # Their "motion" is that of the shake they were rendered with.
    for record, shake in zip(records, rendered, strict=True):
        field = motion_field(shake, (1, 1))
        assert record["motion"][0] == pytest.approx(np.log2(1 + field.length.item()))
    np.testing.assert_array_equal(records[0]["motion"], records[1]["motion"])
    assert np.abs(records[0]["motion"] - records[2]["motion"]).max() > 0.1


def test_targets_hold_length_and_doubled_direction():
    def target(length, degrees):
        field = MotionField(
            *[None] * 2, np.array([[length]]), np.array([[np.deg2rad(degrees)]]), None
        )
        return motion_target(field)[0, 0]

    np.testing.assert_allclose(target(7, 0), [3, 1, 0], atol=1e-6)
    np.testing.assert_allclose(target(7, 90), [3, -1, 0], atol=1e-6)
    np.testing.assert_allclose(target(7, 45), [3, 0, 1], atol=1e-6)
    # The direction of such a short path is hardly visible.
    np.testing.assert_allclose(target(1, 45), [1, 0, 0.25], atol=1e-6)


def test_a_record_depends_on_settings_and_index_alone(photographs):
    source, again = (SharedBlurPairs(photographs, SETTINGS, 32) for _ in range(2))
    other = SharedBlurPairs(photographs, dataclasses.replace(SETTINGS, seed=1), 32)
    for key in ("blurry", "sharp"):
        np.testing.assert_array_equal(source[7][key], again[7][key])
        assert not np.array_equal(source[7][key], other[7][key])
    assert not np.array_equal(source[7]["blurry"], source[7]["sharp"])


def test_pairs_stay_together_in_batches(photographs):
    source = SharedBlurPairs(photographs, SETTINGS, 32)
    steps = batches_of_crops(source, batch_size=4, seed=0)
    for key in ("blurry", "sharp"):
        np.testing.assert_array_equal(steps[2][key], [source[i][key] for i in range(8, 12)])
    second = batches_of_crops(source, batch_size=4, seed=0, process=1, processes=2)
    np.testing.assert_array_equal(second[2]["sharp"], steps[2]["sharp"][2:])


def test_of_several_windows_the_most_detailed_is_used(photographs):
    one, many = (
        [
            SharedBlurPairs(photographs[:1], SETTINGS, 32, windows)[i]["sharp"].std()
            for i in range(40)
        ]
        for windows in (1, 6)
    )
    assert sum(deviation < 1 for deviation in one) >= 4
    assert sum(deviation < 1 for deviation in many) <= 1


def test_motion_comes_through_augmentation_to_the_batches(photographs):
    source = SharedBlurPairs(photographs, SETTINGS, 32)
    noisy = Augmentation(noise=2.0)
    batch = batches_of_crops(source, batch_size=4, seed=0, augmentation=noisy)[1]
    np.testing.assert_array_equal(batch["motion"], [source[i]["motion"] for i in range(4, 8)])
    assert (batch["blurry"] != np.stack([source[i]["blurry"] for i in range(4, 8)])).any()


def test_both_records_of_a_pair_are_without_blur(photographs):
    source = SharedBlurPairs(photographs[1:], SETTINGS, 32, identity=0.5)
    error = [
        np.abs(pair["blurry"].astype(int) - pair["sharp"]).mean()
        for pair in (source[index] for index in range(40))
    ]
    # Crops without blur still have noise.
    sharp = np.array(error).reshape(-1, 2) < 6
    assert 4 < sharp[:, 0].sum() < 16
    np.testing.assert_array_equal(sharp[:, 0], sharp[:, 1])
    lengths = np.array([source[index]["motion"][0] for index in range(0, 40, 2)])
    np.testing.assert_array_equal(sharp[:, 0], lengths == 0)


def test_too_small_photographs_are_refused(photographs):
    with pytest.raises(ValueError, match=r"half.png is too small: crops of 384 px .* need 432 px"):
        SharedBlurPairs(photographs, SETTINGS, 384)
