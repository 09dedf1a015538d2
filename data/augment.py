"""Augmentation of training crops beyond flips: exposure, softness, noise, JPEG, …

It is drawn per crop from the generator that Grain passes, so it depends on the step alone. All of
it is off in the published recipe. configs/bundled.py trains with it, since most photographs are
neither well exposed nor PNG files.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import grain
import numpy as np
from jaxtyping import UInt8

from msdi_jax.data.synthesis.render import GAMMA

# Defocus: range of the standard deviation, px, and of the amount on a grid of this side, which is
# clipped to [0, 1]: some parts of a crop are in focus, some are fully out of it.
_DEFOCUS_SPREAD = (0.5, 4.0)
_DEFOCUS_AMOUNT = (-0.5, 1.5)
_DEFOCUS_GRID = 3

Crop = UInt8[np.ndarray, "crop crop 3"]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Limits of the augmentation; the defaults change nothing.

    Attributes:
        exposure: largest change of exposure of both crops, in stops.
        gaussian_blur: largest standard deviation of a Gaussian that smooths both crops, px. Few
            photographs are sharp to the pixel, and a network should not sharpen soft ones.
        defocus: share of crops with parts out of focus in both images, as in front of and behind
            the subject of most photographs.
        noise: largest standard deviation of the noise added to the blurry crop, in 1/255.
        jpeg: lowest quality, 1 … 100, at which every other blurry crop is compressed; 0: never.
        identity: share of pairs whose blurry crop is the sharp one.
        windows: number of random windows that each crop is chosen from: the one that differs most
            from the sharp image. Most of a photograph is too smooth to show blur.
        rotation: share of crops rotated by a random angle and scaled, blur included.
        zoom: largest factor of that scaling, up or down, at least 1.
        channel_shuffle: share of crops whose colour channels are permuted.
        reblurred: share of blurry crops that stage 2 of the training replaces by reblurred ones.
    """

    exposure: float = 0.0
    gaussian_blur: float = 0.0
    defocus: float = 0.0
    noise: float = 0.0
    jpeg: int = 0
    identity: float = 0.0
    windows: int = 1
    rotation: float = 0.0
    zoom: float = 1.0
    channel_shuffle: float = 0.0
    reblurred: float = 0.0

    def __post_init__(self):
        if min(self.exposure, self.gaussian_blur, self.noise) < 0 or not 0 <= self.jpeg <= 100:
            raise ValueError(
                f"augmentation.exposure={self.exposure:g}, augmentation.gaussian_blur="
                f"{self.gaussian_blur:g} and augmentation.noise={self.noise:g} must be at least 0, "
                f"augmentation.jpeg={self.jpeg} a quality of 1 … 100, or 0"
            )
        for name in ("defocus", "identity", "rotation", "channel_shuffle", "reblurred"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"augmentation.{name}={share:g} must be a share, 0 … 1")
        if self.windows < 1:
            raise ValueError(f"augmentation.windows={self.windows} must be at least 1")
        if not 1 <= self.zoom <= 2:
            raise ValueError(f"augmentation.zoom={self.zoom:g} must be a factor of 1 … 2")

    @property
    def changes(self) -> bool:
        """Whether `Augment` has any effect; rotation and windows belong to the cropping."""
        blurs = (self.gaussian_blur, self.defocus, self.identity)
        return max(self.exposure, *blurs, self.noise, self.jpeg, self.channel_shuffle) > 0


UNCHANGED = Augmentation()


class Augment(grain.transforms.RandomMap):
    """Apply an `Augmentation` to {"blurry", "sharp"}, uint8 RGB crops of one size.

    Other entries of an element are kept.
    """

    def __init__(self, augmentation: Augmentation):
        self.augmentation = augmentation

    def random_map(self, element: Mapping, rng: np.random.Generator) -> dict:
        chosen = self.augmentation
        curve = exposure_curve(rng.uniform(-1, 1) * chosen.exposure)
        blurry, sharp = (curve[element[key]] for key in ("blurry", "sharp"))
        if chosen.identity and rng.random() < chosen.identity:
            blurry = sharp
        if chosen.gaussian_blur:
            spread = rng.uniform(0, chosen.gaussian_blur)
            blurry, sharp = (cv2.GaussianBlur(crop, (0, 0), spread) for crop in (blurry, sharp))
        if chosen.defocus and rng.random() < chosen.defocus:
            blurry, sharp = defocus((blurry, sharp), rng)
        if chosen.noise:
            spread = rng.uniform(0, chosen.noise)
            noise = spread * rng.standard_normal(blurry.shape, np.float32)
            blurry = np.clip(np.rint(blurry + noise), 0, 255).astype(np.uint8)
        if chosen.jpeg and rng.random() < 0.5:
            blurry = compress(blurry, int(rng.integers(chosen.jpeg, 101)))
        if chosen.channel_shuffle and rng.random() < chosen.channel_shuffle:
            order = rng.permutation(3)
            blurry, sharp = (np.ascontiguousarray(crop[..., order]) for crop in (blurry, sharp))
        return {**element, "blurry": blurry, "sharp": sharp}


def defocus(crops: Sequence[Crop], rng: np.random.Generator) -> list[Crop]:
    """Smooth all crops the same way: fully in some parts, not at all in others.

    Defocus is applied after motion blur here. The order makes no difference where its amount
    changes slowly.
    """
    height, width = crops[0].shape[:2]
    grid = rng.uniform(*_DEFOCUS_AMOUNT, (_DEFOCUS_GRID, _DEFOCUS_GRID))
    amount = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    spread = np.exp(rng.uniform(*np.log(_DEFOCUS_SPREAD)))
    defocused = []
    for crop in crops:
        smooth = cv2.GaussianBlur(crop, (0, 0), spread)
        mixed = crop + amount[..., None] * (smooth.astype(np.float32) - crop)
        defocused.append(np.rint(mixed).astype(np.uint8))
    return defocused


def exposure_curve(stops: float) -> UInt8[np.ndarray, "256"]:
    """Return the 8-bit values for 2^stops as much light, by 8-bit value."""
    values = np.arange(256) * 2 ** (stops / GAMMA)
    return np.rint(values.clip(0, 255)).astype(np.uint8)


def compress(image: Crop, quality: int) -> Crop:
    """Compress an RGB image to JPEG of this quality, and decode it."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
