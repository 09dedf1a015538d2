import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from msdi_jax.data import photographs
from msdi_jax.data.synthesis.camera_motion import draw_shake, margin
from msdi_jax.data.synthesis.render import kernel, render, render_evenly
from tests.data.synthesis.imposed import DISC, HEIGHT, WIDTH, imposed, translation


@pytest.fixture(scope="module")
def photo():
    return photographs.embedded().train[0].read()


def to_light(encoded):
    return (encoded / 255.0) ** 2.2


def to_code(light):
    return np.clip(light, 0, 1) ** (1 / 2.2) * 255


def box_down(canvas):
    """Means of 2×2 blocks."""
    return canvas.reshape(canvas.shape[0] // 2, 2, canvas.shape[1] // 2, 2, -1).mean(axis=(1, 3))


def canvas_photo(shake, seed=0):
    """A random photograph that is exactly as large as the canvas, so that no scaling happens."""
    rows, columns = margin(shake)
    shape = (2 * (shake.height + 2 * rows), 2 * (shake.width + 2 * columns), 3)
    noise = ndimage.gaussian_filter(
        np.random.default_rng(seed).normal(size=shape), (1.5, 1.5, 0), mode="wrap"
    )
    return np.clip(128 + 500 * noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("domain", ["linear", "gamma"])
def test_a_still_camera_blurs_nothing(photo, domain):
    blurry, sharp = render(photo, imposed(domain=domain, highlight_gain=1.0))
    assert np.abs(blurry.astype(int) - sharp).max() <= 1


def test_the_sharp_frame_is_the_photograph_averaged_by_area():
    shake = imposed(translation(6, 3))
    canvas = canvas_photo(shake)
    _, sharp = render(canvas, shake)
    rows, columns = margin(shake)
    inner = canvas[2 * rows : -2 * rows, 2 * columns : -2 * columns]
    np.testing.assert_allclose(sharp, to_code(box_down(to_light(inner))), atol=0.51)


@pytest.mark.parametrize("axis", [0, 1])
def test_steady_translation_is_a_box_filter_in_linear_light(axis):
    shift = (8, 0) if axis else (0, 8)
    shake = imposed(translation(*shift, instants=193))
    canvas = canvas_photo(shake)
    blurry, _ = render(canvas, shake)
    light = to_light(canvas)
    # 8 px are 16 pixels of the canvas. A sweep over them under linear interpolation weighs the 17
    # pixels that it meets equally, except for the two ends, which count half.
    weights = np.r_[0.5, np.ones(15), 0.5] / 16
    expected = box_down(ndimage.correlate1d(light, weights, axis=axis))
    rows, columns = margin(shake)
    expected = to_code(expected[rows:-rows, columns:-columns])
    np.testing.assert_allclose(blurry, expected, atol=2)
    assert np.abs(blurry - expected).mean() < 0.4


def test_averaging_domains_differ_as_a_two_valued_edge_says():
    # An edge between black and white, swept to and fro so that its pixel is white half the time:
    # half the light is 0.5^(1/2.2) · 255 = 186, half the code is 127.5.
    camera = translation(32, instants=64)
    camera = np.repeat(np.sign(camera[:, 3:4]), 6, axis=1) * np.abs(camera).max(axis=0)
    still = np.zeros((1, 6))
    camera = np.concatenate([camera[:32], still, camera[32:]])
    results = {}
    for domain in ("linear", "gamma"):
        shake = imposed(camera, domain=domain)
        canvas = canvas_photo(shake)
        canvas[:] = 0
        canvas[:, canvas.shape[1] // 2 :] = 255
        results[domain] = render(canvas, shake)[0][:, WIDTH // 2 + 2].astype(float).mean()
    # The still instant adds one white sample to 32 of 64.
    assert results["gamma"] == pytest.approx(255 * 33 / 65, abs=1)
    assert results["linear"] == pytest.approx(255 * (33 / 65) ** (1 / 2.2), abs=1)


def test_highlights_leave_streaks():
    # A white dot on black, lifted to light 2 and spread over 16 canvas steps, is twice as bright
    # in light as one that was clipped before the average.
    shake = imposed(translation(8), highlight_gain=0.0)
    canvas = np.zeros_like(canvas_photo(shake))
    middle = canvas.shape[0] // 2, canvas.shape[1] // 2
    canvas[middle[0] - 1 : middle[0] + 1, middle[1] - 1 : middle[1] + 1] = 255
    plain = to_light(render(canvas, shake)[0])
    lifted = to_light(render(canvas, dataclasses.replace(shake, highlight_gain=1.0))[0])
    assert lifted.sum() == pytest.approx(2 * plain.sum(), rel=0.02)


def test_a_blurred_dot_lies_about_the_sharp_one_seen_from_the_mean_pose():
    offsets = {}
    for anchor in ("mean", "middle"):
        shake = draw_shake(3, HEIGHT, WIDTH, anchor=anchor, strength=3, max_layers=0)
        shake = dataclasses.replace(shake, shot_noise=0.0, read_noise=0.0, highlight_gain=0.0)
        canvas = np.zeros_like(canvas_photo(shake))
        rows, columns = (side // 2 for side in canvas.shape[:2])
        canvas[rows - 8 : rows + 8, columns - 8 : columns + 8] = 255
        lights = (to_light(image).sum(axis=-1) for image in render(canvas, shake))
        offsets[anchor] = np.subtract(*map(ndimage.center_of_mass, lights))
    assert np.abs(offsets["mean"]).max() < 0.1
    assert np.abs(offsets["middle"]).max() > 0.3


def test_noise_has_the_stated_variance():
    shake = imposed(noise=True, shot_noise=1.8e-4, read_noise=1e-3)
    grey = np.full((256, 256, 3), 128, np.uint8)
    light = to_light(render(grey, shake)[0])
    # Rounding to codes adds its own twelfth of a squared step.
    step = to_light(128.5) - to_light(127.5)
    expected = 1.8e-4 * to_light(128) + 1e-6 + step**2 / 12
    assert light.var() == pytest.approx(expected, rel=0.05)


def test_the_same_seed_gives_the_same_bytes(photo):
    def pair(seed):
        shake = draw_shake(seed, HEIGHT, WIDTH)
        return np.stack(render(photo, shake, [photo] * len(shake.layers)))

    assert np.array_equal(pair(11), pair(11))
    assert not np.array_equal(pair(11), pair(12))


def test_near_layers_are_swept_over_the_background():
    shake = imposed(translation(4), layers=(DISC,))
    black = np.zeros_like(canvas_photo(shake))
    pair = render(black, shake, [np.full((128, 128, 3), 255, np.uint8)])
    blurry, sharp = (to_light(frame[HEIGHT // 2, :, 0]) for frame in pair)
    # A white disc of radius 12, swept by 10 px, gives the same light in all; the middle
    # 24 - 10 px of its middle row stay white, and 24 + 10 px are touched by it.
    assert (sharp > 0.5).sum() == pytest.approx(24, abs=1)
    assert blurry.sum() == pytest.approx(sharp.sum(), rel=0.02)
    assert (blurry > 0.95).sum() == pytest.approx(14, abs=2)
    assert (blurry > 0.01).sum() == pytest.approx(34, abs=2)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_beyond_the_photograph_is_ever_seen(seed):
    # White paper stays white up to the last column; the world outside is black.
    shake = draw_shake(seed, HEIGHT, WIDTH, strength=12, reach=20, max_layers=0)
    shake = dataclasses.replace(shake, shot_noise=0.0, read_noise=0.0)
    assert max(margin(shake)) <= 21
    blurry, sharp = render(np.full((400, 400, 3), 255, np.uint8), shake)
    assert blurry.min() == sharp.min() == 255


def test_large_photographs_are_reduced_and_small_ones_refused():
    shake = imposed(translation(4))
    blurry, sharp = render(np.zeros((700, 900, 3), np.uint8), shake)
    assert blurry.shape == sharp.shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ValueError, match=r"60×300 px is too small .* larger photograph"):
        render(np.zeros((60, 300, 3), np.uint8), shake)


def test_every_layer_needs_a_photograph(photo):
    shake = next(s for s in (draw_shake(i, HEIGHT, WIDTH) for i in range(20)) if s.layers)
    with pytest.raises(ValueError, match="0 photographs were given"):
        render(photo, shake)


@pytest.mark.parametrize("domain", ["linear", "gamma"])
def test_one_convolution_renders_frames_whose_points_move_the_same_way(photo, domain):
    shake = draw_shake(5, 768, 768, domain=domain, strength=6.0, reach=24, max_layers=0)
    # A camera that does not turn.
    camera = shake.camera * [0, 0, 0, 8, 8, 0]
    shake = dataclasses.replace(shake, height=96, width=96, camera=camera)
    shake = dataclasses.replace(shake, shot_noise=0.0, read_noise=0.0)
    (blurry, sharp), (evenly, still) = render(photo, shake), render_evenly(photo, shake)
    np.testing.assert_array_equal(sharp, still)
    blur = np.abs(blurry.astype(int) - sharp).mean()
    assert blur > 3
    # Between the canvas' pixels the one interpolates light, the other what is averaged.
    share = {"linear": 0.001, "gamma": 0.25}[domain]
    assert np.abs(blurry.astype(int) - evenly).mean() < share * blur


def test_a_kernel_follows_the_path():
    weights = kernel(np.array([[-2.0, 0.0], [0.0, 0.0], [1.5, -1.0]]))
    expected = np.zeros((7, 7))
    expected[3, 1] = expected[3, 3] = 1 / 3
    # x to the right, y down.
    expected[2, 4] = expected[2, 5] = 1 / 6
    np.testing.assert_allclose(weights, expected, atol=1e-12)
