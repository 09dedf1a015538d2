import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from msdi_jax.evaluation import metrics


@pytest.mark.parametrize("case", ["m0", "m1"])
def test_published_metrics(golden, case):
    z = golden("protocol")
    a, b = z[f"metrics/{case}/a"], z[f"metrics/{case}/b"]
    assert metrics.psnr(a, b) == pytest.approx(float(z[f"metrics/{case}/psnr"]), rel=1e-6)
    assert metrics.ssim_3d(a, b) == pytest.approx(float(z[f"metrics/{case}/ssim_3d"]), abs=1e-5)
    expected = float(z[f"metrics/{case}/ssim_gaussian_valid_mean_rgb"])
    assert metrics.ssim(a, b) == pytest.approx(expected, abs=1e-5)


def test_against_scikit_image():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (40, 52, 3)).astype(np.uint8)
    b = np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    assert metrics.psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b), rel=1e-12)
    expected = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2
    )
    assert metrics.ssim(a, b) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("height", [11, 42, 43, 90])
def test_strips_do_not_show(height):
    """Heights around multiples of a strip, against scikit-image, which knows none."""
    rng = np.random.default_rng(height)
    a = rng.uniform(0, 255, (height, 37, 3))
    b = np.clip(a + rng.normal(0, 30, a.shape), 0, 255)
    expected = structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2,
        data_range=255,
    )
    assert metrics.ssim(a, b) == pytest.approx(expected, abs=1e-9)


def test_masked_figures_against_scikit_image():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 256, (40, 52, 3)).astype(np.uint8)
    b = np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    mask = (rng.random((40, 52)) > 0.4).astype(np.uint8)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, full = structural_similarity(a, b, channel_axis=2, full=True, **options)
    inside = mask[5:-5, 5:-5] != 0
    assert metrics.ssim(a, b, mask) == pytest.approx(full[5:-5, 5:-5][inside].mean(), abs=1e-9)
    expected = peak_signal_noise_ratio(a[mask != 0], b[mask != 0])
    assert metrics.psnr(a, b, mask) == pytest.approx(expected, rel=1e-12)


def test_equal_images_and_refusals():
    a = np.full((16, 16, 3), 7, np.uint8)
    assert metrics.psnr(a, a) == float("inf")
    assert metrics.ssim(a, a) == metrics.ssim_3d(a, a) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="one size"):
        metrics.psnr(a, a[:8])
    with pytest.raises(ValueError, match="11×11"):
        metrics.ssim(a[:8], a[:8])
