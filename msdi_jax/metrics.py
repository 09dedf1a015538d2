"""Image quality as the published deblurring tables measure it. NumPy float64, one image pair.

Images are uint8 or [0, 255]-valued RGB of shape (h, w, 3). There are two structural similarities:
`ssim_3d` is the one in the tables; it reads 0.02–0.035 higher than the per-channel `ssim`.
"""

import cv2
import numpy as np

PEAK = 255.0
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
WINDOW = cv2.getGaussianKernel(11, 1.5, cv2.CV_64F).ravel()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels; inf for equal images."""
    a, b = _pair(a, b)
    mse = np.square(a - b).mean()
    return float("inf") if mse == 0 else float(10 * np.log10(PEAK**2 / mse))


def ssim_3d(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of the RGB image taken as a volume: 11×11×11 Gaussian, σ 1.5, replicated borders."""
    mix = _channel_window(3)
    return float(_ssim_map(*_pair(a, b), lambda x: _blur(x) @ mix).mean())


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM per channel, 11×11 Gaussian, σ 1.5, where the window fits; mean over channels.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.
    """
    a, b = _pair(a, b)
    if min(a.shape[:2]) < 11:
        raise ValueError(f"ssim needs images of at least 11×11 pixels, got {a.shape[:2]}")
    return float(_ssim_map(a, b, _blur)[5:-5, 5:-5].mean())


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if a.shape != b.shape or a.ndim != 3 or a.shape[2] != 3:
        raise ValueError(f"expected two RGB images of one size, got {a.shape} and {b.shape}")
    return np.asarray(a, np.float64), np.asarray(b, np.float64)


def _blur(x: np.ndarray) -> np.ndarray:
    return cv2.sepFilter2D(x, cv2.CV_64F, WINDOW, WINDOW, borderType=cv2.BORDER_REPLICATE)


def _channel_window(channels: int) -> np.ndarray:
    """The Gaussian along the channel axis, with replicated ends, as a matrix (from, to)."""
    mix = np.zeros((channels, channels))
    for to in range(channels):
        for tap, weight in enumerate(WINDOW):
            mix[np.clip(to + tap - 5, 0, channels - 1), to] += weight
    return mix


def _ssim_map(a: np.ndarray, b: np.ndarray, window) -> np.ndarray:
    mean_a, mean_b = window(a), window(b)
    var_a = window(a * a) - mean_a**2
    var_b = window(b * b) - mean_b**2
    covariance = window(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return luminance * (2 * covariance + C2) / (var_a + var_b + C2)
