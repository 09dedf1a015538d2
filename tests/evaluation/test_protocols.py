"""What each protocol does to a pair, against goldens, scikit-image and hand-worked cases."""

import cv2
import numpy as np
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from msdi_jax.evaluation import metrics, protocols
from msdi_jax.evaluation.alignment import align

MARGIN = 24


@pytest.mark.parametrize("case", ["m0", "m1"])
def test_gopro_and_per_channel_give_the_goldens(golden, case):
    z = golden("protocol")
    a, b = z[f"metrics/{case}/a"], z[f"metrics/{case}/b"]
    scores = protocols.score_pair(a, b)
    assert scores["psnr"] == pytest.approx(float(z[f"metrics/{case}/psnr"]), rel=1e-6)
    assert scores["ssim_3d"] == pytest.approx(float(z[f"metrics/{case}/ssim_3d"]), abs=1e-5)
    expected = float(z[f"metrics/{case}/ssim_gaussian_valid_mean_rgb"])
    assert scores["ssim"] == pytest.approx(expected, abs=1e-5)


def test_gopro_rounds_and_float_does_not():
    """Off by 0.4 of a level: nothing after rounding, 10·log10(255²/0.16) dB without."""
    sharp = np.full((16, 16, 3), 100, np.uint8)
    restored = np.full((16, 16, 3), 100.4 / 255)
    assert protocols.gopro(restored, sharp)["psnr"] == float("inf")
    exact = protocols.unrounded(restored, sharp)["psnr_float"]
    assert exact == pytest.approx(10 * np.log10(255**2 / 0.16), rel=1e-9)


def test_all_protocols_clip():
    sharp = np.full((32, 32, 3), 255, np.uint8)
    beyond = np.full((32, 32, 3), 1.5)
    assert protocols.gopro(beyond, sharp)["psnr"] == float("inf")
    assert protocols.unrounded(beyond, sharp)["psnr_float"] == float("inf")


def test_protocols_of_files_agree():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 20, 20, 3)).astype(np.uint8)
    scores = protocols.score_pair(a, b, protocols.PROTOCOLS)
    assert scores["psnr_float"] == pytest.approx(scores["psnr"], rel=1e-12)
    assert list(scores) == [*protocols.METRICS, protocols.FAILED]


@pytest.mark.parametrize("names", [["psnr"], ["gopro", "grid"], []])
def test_unknown_names_are_refused(names):
    with pytest.raises(ValueError, match="choose among gopro, per_channel, float, realblur"):
        protocols.check_protocols(names)


# ---------------------------------------------------------------------------- realblur


def scene(name="coffee"):
    """A photograph that a gain of 1.2 leaves in range, and what a method might make of it: soft."""
    sharp = (getattr(data, name)() * 0.8).astype(np.uint8)
    return sharp, cv2.GaussianBlur(np.float64(sharp), (0, 0), 3)


def eight_bit(image):
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def inner(image):
    """Without the margin that a shift brings in from outside."""
    return image[MARGIN:-MARGIN, MARGIN:-MARGIN]


def moved(restored, shift, degrees, gain):
    """As a second camera would see it, 8-bit, and the homography that leads back."""
    height, width = restored.shape[:2]
    homography = np.eye(3)
    homography[:2] = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    homography[:2, 2] += shift
    image = cv2.warpPerspective(
        restored, homography, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return eight_bit(gain * inner(image)), homography


@pytest.mark.parametrize(
    ("shift", "degrees", "gain"),
    [((5, -5), 1.0, 0.8), ((-5, -5), -1.0, 1.2), ((-5, 3), 1.0, 1.1)],
)
def test_realblur_recovers_the_unshifted_pair(shift, degrees, gain):
    sharp, restored = scene()
    unshifted = protocols.gopro(eight_bit(inner(restored)), inner(sharp))["psnr"]
    image, _ = moved(restored, shift, degrees, gain)
    scores = protocols.realblur(image, inner(sharp))
    assert scores["psnr_aligned"] == pytest.approx(unshifted, abs=0.1)
    # Even with the right gain.
    unaligned = metrics.psnr(image / gain, inner(sharp))
    assert unaligned < unshifted - 2
    assert scores["ecc_failed"] == 0


def test_on_fine_texture_what_is_lost_is_the_gain():
    """It is fitted before the alignment, as RealBlur's evaluation does, so it comes out too low."""
    sharp, restored = scene("astronaut")
    image, _ = moved(restored, (5, -5), 1.0, 1.2)
    aligned = align(image, inner(sharp))
    unshifted = metrics.psnr(eight_bit(inner(restored)), inner(sharp), aligned.mask)
    gain = np.vdot(aligned.restored, aligned.sharp) / np.vdot(aligned.restored, aligned.restored)
    assert gain > 1.01
    assert metrics.psnr(aligned.restored, aligned.sharp, aligned.mask) < unshifted - 0.1
    again = metrics.psnr(aligned.restored * gain, aligned.sharp, aligned.mask)
    assert again == pytest.approx(unshifted, abs=0.1)


def test_the_homography_is_the_one_that_was_applied():
    sharp, restored = scene()
    image, homography = moved(restored, (5, -4), 1.0, 1.0)
    estimated = np.float64(align(image, inner(sharp)).homography)
    # Both without the margin.
    to_inner = np.array([[1, 0, -MARGIN], [0, 1, -MARGIN], [0, 0, 1.0]])
    expected = to_inner @ homography @ np.linalg.inv(to_inner)
    height, width = inner(sharp).shape[:2]
    corners = np.float64([[[0, 0], [width, 0], [0, height], [width, height]]])
    apart = cv2.perspectiveTransform(corners, estimated) - cv2.perspectiveTransform(
        corners, expected
    )
    assert np.abs(apart).max() < 0.3


def test_where_nothing_moves_it_is_scikit_images_ssim(monkeypatch):
    sharp, restored = scene()
    sharp, restored = sharp[:96, :128], eight_bit(restored[:96, :128])
    still = np.eye(3, dtype=np.float32)
    monkeypatch.setattr(cv2, "findTransformECC", lambda *_, **__: (1.0, still))
    gain = np.vdot(restored.astype(float), sharp) / np.vdot(restored.astype(float), restored)
    expected = structural_similarity(
        restored * gain / 255,
        sharp / 255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2,
        data_range=1,
    )
    scored = protocols.realblur(restored, sharp)
    assert scored["ssim_aligned"] == pytest.approx(expected, abs=1e-6)
    assert abs(gain - 1) > 1e-4


def test_gain_is_least_squares():
    """Alignment fails on flat images, so that only the gain is left."""
    sharp = np.full((32, 32, 3), 120, np.uint8)
    restored = np.full((32, 32, 3), 100, np.uint8)
    scores = protocols.realblur(restored, sharp)
    assert scores["psnr_aligned"] > 200
    assert scores["ssim_aligned"] == pytest.approx(1, abs=1e-12)
    assert scores["ecc_failed"] == 1


def test_failure_falls_back_to_the_identity_and_is_counted(monkeypatch):
    sharp, restored = scene()
    sharp, restored = sharp[:64, :64], restored[:64, :64].round().astype(np.uint8)

    def fails(*_, **__):
        raise cv2.error("the iterations do not converge")

    monkeypatch.setattr(cv2, "findTransformECC", fails)
    aligned = align(restored, sharp)
    gain = np.vdot(restored.astype(float), sharp) / np.vdot(restored.astype(float), restored)
    np.testing.assert_allclose(aligned.restored, restored * gain, rtol=1e-12)
    assert aligned.mask.all()
    assert protocols.realblur(restored, sharp)["ecc_failed"] == 1


def test_a_homography_that_leaves_nothing_counts_as_failed(monkeypatch):
    sharp = scene()[0][:64, :64]
    away = np.float32([[1, 0, 500], [0, 1, 0], [0, 0, 1]])
    monkeypatch.setattr(cv2, "findTransformECC", lambda *_, **__: (1.0, away))
    aligned = align(sharp, sharp)
    assert aligned.failed
    np.testing.assert_array_equal(aligned.homography, np.eye(3))


def test_only_the_mask_counts(monkeypatch):
    """Shifted by whole pixels: what comes in from outside is zero in both images."""
    sharp = scene()[0][:64, :64]
    shift = np.float32([[1, 0, 8], [0, 1, 0], [0, 0, 1]])
    monkeypatch.setattr(cv2, "findTransformECC", lambda *_, **__: (1.0, shift))
    aligned = align(sharp, sharp)
    assert aligned.mask[:, :56].all()
    assert not aligned.mask[:, 56:].any()
    np.testing.assert_allclose(aligned.restored[:, :56], sharp[:, 8:], atol=1e-4)
    assert not aligned.restored[:, 56:].any()
    assert not aligned.sharp[:, 56:].any()
    difference = sharp[:, 8:].astype(float) - sharp[:, :56]
    expected = 10 * np.log10(255**2 / np.square(difference).mean())
    scored = protocols.realblur(sharp, sharp)
    assert scored["psnr_aligned"] == pytest.approx(expected, rel=1e-9)
    _, full = structural_similarity(
        aligned.restored / 255,
        aligned.sharp / 255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2,
        data_range=1,
        full=True,
    )
    # The border of 5 pixels, and what is outside the mask.
    expected = full[5:-5, 5:56].mean()
    assert scored["ssim_aligned"] == pytest.approx(expected, abs=1e-6)
    assert abs(full[5:-5, 5:-5].mean() - expected) > 1e-3
