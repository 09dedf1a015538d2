"""Alignment of a restored image with its sharp one, as in RealBlur's evaluation.

RealBlur's pairs come from two cameras, so a restored image may be off by a fraction of a pixel and
by a gain through no fault of the method. Its released evaluation (Rim et al., ECCV 2020, after
Köhler et al., ECCV 2012) therefore moves the restored image, never the sharp one.
"""

from typing import NamedTuple

import cv2
import numpy as np

from msdi_jax.evaluation.metrics import RADIUS

ITERATIONS = 100
# 0: never stop before the last iteration.
EPSILON = 0.0
GAUSSIAN = 5


class Aligned(NamedTuple):
    """Both images are zero outside the mask.

    Attributes:
        restored: (h, w, 3) float64, not clipped: cubic interpolation may leave the range.
        sharp: (h, w, 3) float64.
        mask: (h, w) uint8, 1 where the warped image has pixels.
        homography: from the sharp image's coordinates to the restored one's.
        failed: whether ECC found no homography, and the identity replaces it.
    """

    restored: np.ndarray
    sharp: np.ndarray
    mask: np.ndarray
    homography: np.ndarray
    failed: bool


def align(restored: np.ndarray, sharp: np.ndarray) -> Aligned:
    """Match the intensities by one gain, then warp the restored image onto the sharp one.

    1. Gain: least squares over all pixels and channels.
    2. Homography: OpenCV's ECC on the grey images, started at the identity.
    3. The restored image is warped cubically with reflected borders, a mask of ones by the nearest
       pixel with zero beyond; both images are multiplied by that mask.

    Args:
        restored: (h, w, 3) in [0, 255].
        sharp: (h, w, 3) in [0, 255].
    """
    restored, sharp = np.float64(restored), np.float64(sharp)
    restored = restored * _gain(restored, sharp)
    homography = _homography(restored, sharp)
    mask = None if homography is None else _mask(homography, sharp.shape[:2])
    # A homography that leaves nothing to measure is as good as none.
    failed = mask is None or not mask[RADIUS:-RADIUS, RADIUS:-RADIUS].any()
    if failed:
        homography, mask = np.eye(3, dtype=np.float32), np.ones(sharp.shape[:2], np.uint8)
    else:
        # In float32: OpenCV 5.0 cuts cubic warps of float64 images down to whole numbers.
        single = np.float32(restored)
        restored = np.float64(_warp(single, homography, cv2.INTER_CUBIC, cv2.BORDER_REFLECT))
    visible = mask[..., None]
    return Aligned(restored * visible, sharp * visible, mask, homography, failed)


def _gain(restored: np.ndarray, sharp: np.ndarray) -> float:
    energy = np.vdot(restored, restored)
    return float(np.vdot(restored, sharp) / energy) if energy else 1.0


def _homography(restored: np.ndarray, sharp: np.ndarray) -> np.ndarray | None:
    """None where ECC does not converge, as on images without texture."""
    grey = [cv2.cvtColor(np.float32(x / 255), cv2.COLOR_RGB2GRAY) for x in (sharp, restored)]
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ITERATIONS, EPSILON)
    start = np.eye(3, dtype=np.float32)
    try:
        _, homography = cv2.findTransformECC(
            *grey, start, cv2.MOTION_HOMOGRAPHY, criteria, inputMask=None, gaussFiltSize=GAUSSIAN
        )
    except cv2.error:
        return None
    return homography if np.isfinite(homography).all() else None


def _mask(homography: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return _warp(np.ones(size, np.uint8), homography, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)


def _warp(image: np.ndarray, homography: np.ndarray, interpolation: int, border: int) -> np.ndarray:
    height, width = image.shape[:2]
    # The homography maps each pixel of the result to where it comes from.
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(
        image, homography, (width, height), flags=flags, borderMode=border, borderValue=0
    )
