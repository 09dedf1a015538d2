"""Exposure, noise and compression of training crops."""

import numpy as np
import pytest

from msdi_jax.data.augment import Augment, Augmentation, compress, exposure_curve
from msdi_jax.data.pipeline import batches

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)


def psnr(a, b):
    return -10 * np.log10(np.mean((a / 255.0 - b / 255.0) ** 2))


def test_the_exposure_curve_scales_light():
    np.testing.assert_array_equal(exposure_curve(0), np.arange(256))
    light = (exposure_curve(-1) / 255.0) ** 2.2
    np.testing.assert_allclose(light[60:], 0.5 * (np.arange(60, 256) / 255) ** 2.2, rtol=0.03)
    assert exposure_curve(0.5)[255] == 255


def test_lower_quality_costs_more():
    # Grey: colours lose resolution at any quality.
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8).repeat(3, axis=2)
    high, low = compress(image, 100), compress(image, 40)
    assert psnr(image, high) > 40
    assert psnr(image, low) < 30
    # Red stays red.
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    np.testing.assert_allclose(compress(red, 95), red, atol=4)


def test_both_crops_get_one_exposure_and_only_the_blurry_one_noise():
    augment = Augment(Augmentation(exposure=1.0, noise=3.0))
    exposures = set()
    for seed in range(20):
        crops = augment.random_map({"blurry": RAMP, "sharp": RAMP}, np.random.default_rng(seed))
        difference = crops["blurry"].astype(int) - crops["sharp"]
        assert 0 < difference[4:12].std() < 3.3
        assert abs(difference[4:12].mean()) < 0.5
        exposures.add(int(crops["sharp"][8, 0, 0]))
    assert len(exposures) > 15


def test_both_crops_are_smoothed_the_same_way():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    augment = Augment(Augmentation(gaussian_blur=1.0))
    kept = []
    for seed in range(40):
        crops = augment.random_map({"blurry": image, "sharp": image}, np.random.default_rng(seed))
        np.testing.assert_array_equal(crops["blurry"], crops["sharp"])
        kept.append(crops["sharp"].std() / image.std())
    # Between no change and white noise under a Gaussian of 1 px, which keeps 1 / (2 √π).
    assert max(kept) == 1
    assert min(kept) == pytest.approx(0.28, abs=0.05)


def test_parts_of_both_crops_are_out_of_focus():
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    augment = Augment(Augmentation(defocus=0.5))
    element = {"blurry": image, "sharp": image}
    pairs = [augment.random_map(element, np.random.default_rng(seed)) for seed in range(60)]
    assert all(np.array_equal(pair["blurry"], pair["sharp"]) for pair in pairs)
    changed = [pair["sharp"] for pair in pairs if not np.array_equal(pair["sharp"], image)]
    assert 18 < len(changed) < 42
    # Share of the noise that is left in squares of 16 px: all of it in some, almost none in others.
    left = np.stack([_in_squares(crop) for crop in changed]) / _in_squares(image)
    assert np.mean(left > 0.99) > 0.1
    assert np.mean(left < 0.3) > 0.1
    assert np.mean(left.max((1, 2)) > 0.9) > 0.9


def _in_squares(image):
    """Standard deviations in squares of 16 px, (h / 16, w / 16)."""
    height, width, _ = image.shape
    return image.astype(float).reshape(height // 16, 16, width // 16, 16 * 3).std((1, 3))


def test_every_other_blurry_crop_is_compressed():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    augment = Augment(Augmentation(jpeg=50))
    element = {"blurry": noise, "sharp": noise}
    pairs = [augment.random_map(element, np.random.default_rng(seed)) for seed in range(60)]
    compressed = [not np.array_equal(pair["blurry"], noise) for pair in pairs]
    assert 18 < sum(compressed) < 42
    assert all(np.array_equal(pair["sharp"], noise) for pair in pairs)


def test_a_share_of_pairs_is_not_blurred():
    augment = Augment(Augmentation(noise=1.0, identity=0.25))
    element = {"blurry": np.full((16, 16, 3), 100, np.uint8), "sharp": RAMP}
    pairs = [augment.random_map(element, np.random.default_rng(seed)) for seed in range(80)]
    left = [np.abs(pair["blurry"].astype(int) - RAMP).max() < 8 for pair in pairs]
    assert 8 < sum(left) < 36
    assert all(np.array_equal(pair["sharp"], RAMP) for pair in pairs)


def test_batches_are_augmented_by_step():
    source = [{"blurry": RAMP, "sharp": RAMP}]
    chosen = Augmentation(exposure=0.5, noise=2.0, jpeg=70)
    arguments = {"batch_size": 4, "crop": 8, "seed": 0}
    steps = batches(source, **arguments, augmentation=chosen)
    plain = batches(source, **arguments)
    again = batches(source, **arguments, augmentation=chosen)
    np.testing.assert_array_equal(steps[5]["blurry"], again[5]["blurry"])
    assert not np.array_equal(steps[5]["blurry"], steps[6]["blurry"])
    # Off, nothing is drawn and nothing changes.
    np.testing.assert_array_equal(plain[5]["blurry"], plain[5]["sharp"])
    assert not np.array_equal(steps[5]["sharp"], plain[5]["sharp"])


def test_of_several_windows_the_most_blurred_is_used():
    blurry = np.zeros((40, 40, 3), np.uint8)
    blurry[:20, :20] = 100
    source = [{"blurry": blurry, "sharp": np.zeros_like(blurry)}]
    means = {}
    for windows in (1, 8):
        steps = batches(
            source, batch_size=100, crop=16, seed=0, augmentation=Augmentation(windows=windows)
        )
        means[windows] = steps[0]["blurry"].mean(axis=(1, 2, 3))
        assert not steps[0]["sharp"].any()
    # 36 % of the 25 × 25 windows miss the blurred quarter.
    assert np.mean(means[1] == 0) > 0.2
    assert np.mean(means[8] == 0) < 0.02
    assert means[8].mean() > 2 * means[1].mean()


def test_rotated_crops_have_any_angle_and_scale():
    slope = 4.0
    ramp = (20 + slope * np.arange(48)[None, :, None]).repeat(48, 0).repeat(3, 2).astype(np.uint8)
    source = [{"blurry": ramp, "sharp": ramp}]
    chosen = Augmentation(rotation=1.0, zoom=1.5)
    crops = batches(source, batch_size=200, crop=8, seed=0, augmentation=chosen)[0]
    np.testing.assert_array_equal(crops["blurry"], crops["sharp"])
    # The middles, which no mirrored border reaches.
    middle = crops["sharp"][:, 2:6, 2:6, 0].astype(float)
    down, across = (np.diff(middle, axis=axis).mean((1, 2)) for axis in (1, 2))
    inside = np.hypot(down, across) > 0.8 * slope / 1.5
    steepness = np.hypot(down, across)[inside] / slope
    assert inside.mean() > 0.8
    assert steepness.min() == pytest.approx(1 / 1.5, abs=0.08)
    assert steepness.max() == pytest.approx(1.5, abs=0.08)
    angles, _ = np.histogram(np.arctan2(down, across)[inside], 12, (-np.pi, np.pi))
    assert angles.min() > 3


def test_a_share_of_crops_is_rotated():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    source = [{"blurry": image, "sharp": image}]
    chosen = Augmentation(rotation=0.25, zoom=1.2)
    crops = batches(source, batch_size=200, crop=16, seed=0, augmentation=chosen)[0]["sharp"]
    whole = [np.array_equal(np.sort(crop, None), np.sort(image, None)) for crop in crops]
    assert 0.65 < np.mean(whole) < 0.85


def test_channels_are_permuted_the_same_way_in_both_crops():
    image = np.zeros((16, 16, 3), np.uint8)
    image[...] = 10, 20, 30
    augment = Augment(Augmentation(channel_shuffle=0.5))
    pairs = [
        augment.random_map({"blurry": image, "sharp": image + 1}, np.random.default_rng(seed))
        for seed in range(100)
    ]
    orders = {tuple(pair["blurry"][0, 0].tolist()) for pair in pairs}
    assert len(orders) == 6
    assert all(np.array_equal(pair["blurry"] + 1, pair["sharp"]) for pair in pairs)
    left = np.mean([np.array_equal(pair["blurry"], image) for pair in pairs])
    # Half are permuted, and one permutation in six is the identity.
    assert left == pytest.approx(0.5 + 0.5 / 6, abs=0.15)


@pytest.mark.parametrize(
    "bad",
    [
        {"exposure": -1},
        {"noise": -0.1},
        {"jpeg": 101},
        {"defocus": -1},
        {"identity": 1.5},
        {"windows": 0},
        {"rotation": -0.1},
        {"channel_shuffle": 2},
        {"zoom": 0.9},
    ],
)
def test_impossible_values_are_refused(bad):
    with pytest.raises(ValueError, match="augmentation"):
        Augmentation(**bad)
