"""Image quality as the published deblurring tables measure it. NumPy float64, one image pair.

Images are uint8 or [0, 255]-valued RGB of shape (h, w, 3). There are two structural similarities:
`ssim_3d` is the one in the tables; it reads higher than the per-channel `ssim`, of good images by
0.02–0.035, of blurred ones by more than a tenth.
`msdi_jax.evaluation.protocols` states which of them a published number is.
"""

from collections.abc import Callable

import cv2
import numpy as np

PEAK = 255.0
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
WINDOW = cv2.getGaussianKernel(11, 1.5, cv2.CV_64F).ravel()
RADIUS = len(WINDOW) // 2
# Side in px of the smallest image that `ssim` takes.
SMALLEST = len(WINDOW)
# Few enough rows to stay in a core's cache: eight times faster than the whole image at once.
STRIP = 32


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB; inf for equal images.

    Over all pixels and channels, or over the pixels where `mask` (h, w) is not zero.
    """
    _check(a, b)
    if mask is not None:
        a, b = a[mask != 0], b[mask != 0]
    # OpenCV sums 8-bit differences exactly, without a copy.
    if not a.dtype == b.dtype == np.uint8:
        a, b = np.float64(a), np.float64(b)
    error = cv2.norm(a, b, cv2.NORM_L2SQR) / a.size
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def ssim_3d(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of the RGB image taken as a volume: 11×11×11 Gaussian, σ 1.5, replicated borders."""
    mix = _channel_window(3)
    return _mean_ssim(a, b, lambda x: cv2.transform(_blur(x), mix), border=0)


def ssim(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """SSIM per channel, 11×11 Gaussian, σ 1.5, where the window fits; mean over channels.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.
    The mean is over all windows, or over those at the pixels where `mask` (h, w) is not zero.
    """
    if min(a.shape[:2]) < SMALLEST:
        raise ValueError(f"ssim needs images of at least 11×11 pixels, got {a.shape[:2]}")
    return _mean_ssim(a, b, _blur, border=RADIUS, mask=mask)


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.ndim != 3 or a.shape[2] != 3:
        raise ValueError(f"expected two RGB images of one size, got {a.shape} and {b.shape}")


def _blur(x: np.ndarray) -> np.ndarray:
    return cv2.sepFilter2D(x, cv2.CV_64F, WINDOW, WINDOW, borderType=cv2.BORDER_REPLICATE)


def _channel_window(channels: int) -> np.ndarray:
    """The Gaussian along the channel axis, with replicated ends, as a matrix (to, from)."""
    mix = np.zeros((channels, channels))
    for to in range(channels):
        for tap, weight in enumerate(WINDOW):
            mix[to, np.clip(to + tap - RADIUS, 0, channels - 1)] += weight
    return mix


def _mean_ssim(
    a: np.ndarray,
    b: np.ndarray,
    window: Callable[[np.ndarray], np.ndarray],
    *,
    border: int,
    mask: np.ndarray | None = None,
) -> float:
    """Mean of the map without `border` pixels at each side, in strips of rows."""
    _check(a, b)
    height, width = a.shape[:2]
    total, count = 0.0, 0
    for top in range(border, height - border, STRIP):
        bottom = min(top + STRIP, height - border)
        # What the window sees beyond the strip.
        first, last = max(top - RADIUS, 0), min(bottom + RADIUS, height)
        values = _ssim_map(*(np.float64(x[first:last]) for x in (a, b)), window)
        values = values[top - first : bottom - first, border : width - border]
        if mask is not None:
            values = values[mask[top:bottom, border : width - border] != 0]
        total += values.sum()
        count += values.size
    return float(total / count)


def _ssim_map(a: np.ndarray, b: np.ndarray, window) -> np.ndarray:
    """In place where that saves a pass: the arithmetic costs more than the filtering."""
    mean_a, mean_b = window(a), window(b)
    product = mean_a * mean_b
    squares = mean_a * mean_a + mean_b * mean_b
    variances = window(a * a + b * b)
    variances -= squares
    covariance = window(a * b)
    covariance -= product
    similarity = (2 * product + C1) * (2 * covariance + C2)
    similarity /= squares + C1
    similarity /= variances + C2
    return similarity
