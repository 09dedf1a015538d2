"""How results are scored: the evaluation protocols of the field, each a named function.

A protocol takes a restored and a sharp image, uint8 or float in [0, 1], shape (h, w, 3), and
returns metrics of one pair by names that mean the same in every table here:

    psnr          dB, 8-bit                       `gopro` and `per_channel`
    ssim_3d       SSIM of the RGB volume          `gopro`
    ssim          SSIM per channel                `per_channel`
    psnr_float    dB, not rounded to 8 bits       `float`
    psnr_aligned  dB, aligned, inside the mask    `realblur`
    ssim_aligned  SSIM, aligned, inside the mask  `realblur`
    ecc_failed    1 where alignment failed        `realblur`

Tables hold means over images; `ecc_failed` is summed. How an image is restored before it is scored,
whole or in tiles, is decided in `restore`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from msdi_jax.evaluation import metrics
from msdi_jax.evaluation.alignment import align
from msdi_jax.restoration import image_io

Protocol = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def gopro(restored: np.ndarray, sharp: np.ndarray) -> dict[str, float]:
    """Metrics of the GoPro and HIDE tables, the published MSDI-Net results among them.

    Clip to [0, 1], round to 8 bits, PSNR with peak 255 over all pixels and channels, and the SSIM
    of the RGB image taken as a volume.

    Source: the MATLAB script released with MPRNet (Zamir et al., CVPR 2021), which reads 8-bit
    files and calls MATLAB's psnr and ssim on whole RGB arrays; MATLAB's ssim treats an array
    of three dimensions as a volume.
    """
    restored, sharp = _eight_bit(restored), _eight_bit(sharp)
    return {
        "psnr": metrics.psnr(restored, sharp),
        "ssim_3d": metrics.ssim_3d(restored, sharp),
    }


def per_channel(restored: np.ndarray, sharp: np.ndarray) -> dict[str, float]:
    """As `gopro`, but with the usual SSIM: per channel with an 11×11 Gaussian, then the mean.

    Source: Wang et al., "Image Quality Assessment", 2004; `metrics.ssim` equals scikit-image's.
    """
    restored, sharp = _eight_bit(restored), _eight_bit(sharp)
    return {"psnr": metrics.psnr(restored, sharp), "ssim": metrics.ssim(restored, sharp)}


def unrounded(restored: np.ndarray, sharp: np.ndarray) -> dict[str, float]:
    """PSNR of the network's output clipped to [0, 1], without rounding it to 8 bits.

    Named `float`. Of files, which are rounded already, it is the PSNR of `gopro`.

    Source: the test script released with MIMO-UNet (Cho et al., ICCV 2021).
    """
    return {"psnr_float": metrics.psnr(_exact(restored), _exact(sharp))}


def realblur(restored: np.ndarray, sharp: np.ndarray) -> dict[str, float]:
    """Metrics of the RealBlur tables.

    8-bit images; the restored one is matched in gain and aligned with the sharp one by `align`.
    PSNR over the pixels of the mask; SSIM per channel with a Gaussian of σ 1.5, the border of 5
    pixels cropped, averaged over the mask. Where ECC finds no homography the identity replaces it
    and `ecc_failed` is 1.

    Source: the evaluation released with RealBlur (Rim et al., ECCV 2020), which MPRNet and others
    repeat.
    """
    aligned = align(_eight_bit(restored), _eight_bit(sharp))
    pair = aligned.restored, aligned.sharp
    return {
        "psnr_aligned": metrics.psnr(*pair, aligned.mask),
        "ssim_aligned": metrics.ssim(*pair, aligned.mask),
        "ecc_failed": float(aligned.failed),
    }


PROTOCOLS: dict[str, Protocol] = {
    "gopro": gopro,
    "per_channel": per_channel,
    "float": unrounded,
    "realblur": realblur,
}
DEFAULT = ("gopro", "per_channel")
# Side in px of the smallest image that a protocol can score, if above 1.
SMALLEST = {"per_channel": metrics.SMALLEST, "realblur": metrics.SMALLEST}
# Label and digits of each metric; counts are not among them.
METRICS = {
    "psnr": ("PSNR, dB", 2),
    "ssim_3d": ("ssim_3d", 4),
    "ssim": ("ssim", 4),
    "psnr_float": ("PSNR unrounded, dB", 2),
    "psnr_aligned": ("PSNR aligned, dB", 2),
    "ssim_aligned": ("ssim aligned", 4),
}
FAILED = "ecc_failed"


def check_protocols(names: Iterable[str]) -> None:
    """Raise ValueError for an unknown name, or if there is none."""
    names = tuple(names)
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown or not names:
        problem = f"protocol {unknown[0]!r} is unknown" if unknown else "no protocol is given"
        raise ValueError(f"{problem}: choose among {', '.join(PROTOCOLS)}")


def smallest_side(names: Iterable[str]) -> int:
    """The side in px of the smallest image that all these protocols can score."""
    return max(SMALLEST.get(name, 1) for name in names)


def check_sizes(sizes: Mapping[str | Path, tuple[int, int]], names: Sequence[str]) -> None:
    """Check that the protocols can score images.

    Args:
        sizes: of each image, by its name or file.
        names: of protocols.

    Raises:
        ValueError: naming every image that is too small.
    """
    least = smallest_side(names)
    small = [f"{image}: {h}×{w} px" for image, (h, w) in sizes.items() if min(h, w) < least]
    if small:
        limited = " and ".join(name for name in names if name in SMALLEST)
        others = " or ".join(PROTOCOLS.keys() - SMALLEST.keys())
        raise ValueError(
            f"protocol {limited} needs images of at least {least}×{least} px: remove these "
            f"{len(small)} of {len(sizes)}, or use {others} alone:\n" + "\n".join(small)
        )


def score_pair(
    restored: np.ndarray, sharp: np.ndarray, names: Iterable[str] = DEFAULT
) -> dict[str, float]:
    """The metrics of several protocols on one pair."""
    scores: dict[str, float] = {}
    for name in names:
        scores |= PROTOCOLS[name](restored, sharp)
    return scores


def _eight_bit(image: np.ndarray) -> np.ndarray:
    return image if image.dtype == np.uint8 else image_io.to_uint8(image)


def _exact(image: np.ndarray) -> np.ndarray:
    """[0, 255] in float64."""
    return np.float64(image) if image.dtype == np.uint8 else 255 * np.clip(np.float64(image), 0, 1)
