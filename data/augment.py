"""Changes of a training crop that tell nothing of its blur: exposure, softness, noise, JPEG, …

They are drawn per crop from the generator that Grain gives, and so by the step alone. All are off
in the published recipe; configs/bundled.py trains with them, since photographs that people
have are neither well exposed nor PNG files.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import grain
import numpy as np
from jaxtyping import UInt8

from msdi_jax.data.synthesis.render import GAMMA

# Of what is out of focus: standard deviation, px; how much of it there is at so many places along a
# side, of which some are wholly in focus and some wholly out of it.
_FOCUS_SPREAD = (0.5, 4.0)
_FOCUS_RANGE = (-0.5, 1.5)
_FOCUS_PLACES = 3

Crop = UInt8[np.ndarray, "crop crop 3"]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How far crops may be changed; the defaults change nothing.

    Attributes:
        exposure: largest change of exposure of both crops, in stops.
        gaussian_blur: largest standard deviation of a Gaussian that smooths both crops, px. Few
            photographs are sharp to the pixel, and what is merely soft should stay as it is.
        defocus: share of crops of which parts are out of focus in both images, as most of what
            photographs show in front of and behind a subject.
        noise: largest standard deviation of the noise added to the blurry crop, in 1/255.
        jpeg: lowest quality, 1 … 100, at which every other blurry crop is compressed; 0: never.
        identity: share of pairs whose blurry crop is the sharp one.
        windows: number of random windows that each crop is chosen from: the one that blur has
            changed most. Most of a photograph is too smooth to show blur.
        rotation: share of crops at any angle in their image, reduced or enlarged, blur included.
        zoom: largest factor of those reductions and enlargements, at least 1.
        channel_shuffle: share of crops whose colour channels are permuted.
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

    def __post_init__(self):
        if min(self.exposure, self.gaussian_blur, self.noise) < 0 or not 0 <= self.jpeg <= 100:
            raise ValueError(
                f"augmentation.exposure={self.exposure:g}, augmentation.gaussian_blur="
                f"{self.gaussian_blur:g} and augmentation.noise={self.noise:g} must be at least 0, "
                f"augmentation.jpeg={self.jpeg} a quality of 1 … 100, or 0"
            )
        for name in ("defocus", "identity", "rotation", "channel_shuffle"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"augmentation.{name}={share:g} is no share: give 0 … 1")
        if self.windows < 1:
            raise ValueError(f"augmentation.windows={self.windows} must be at least 1")
        if not 1 <= self.zoom <= 2:
            raise ValueError(f"augmentation.zoom={self.zoom:g} must be a factor of 1 … 2")

    @property
    def changes(self) -> bool:
        blurs = (self.gaussian_blur, self.defocus, self.identity)
        return max(self.exposure, *blurs, self.noise, self.jpeg, self.channel_shuffle) > 0


UNCHANGED = Augmentation()


class Augment(grain.transforms.RandomMap):
    """Applies an `Augmentation` to {"blurry", "sharp"}, uint8 RGB crops of one size.

    What else an element holds stays as it is.
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
            blurry, sharp = out_of_focus((blurry, sharp), rng)
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


def out_of_focus(crops: Sequence[Crop], rng: np.random.Generator) -> list[Crop]:
    """Crops of one place, smoothed alike: wholly in some parts, not at all in others.

    Motion blur comes before what smooths here and not after it, which is the same thing where the
    amount changes slowly.
    """
    height, width = crops[0].shape[:2]
    places = rng.uniform(*_FOCUS_RANGE, (_FOCUS_PLACES, _FOCUS_PLACES))
    amount = cv2.resize(places, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    spread = np.exp(rng.uniform(*np.log(_FOCUS_SPREAD)))
    found = []
    for crop in crops:
        smooth = cv2.GaussianBlur(crop, (0, 0), spread)
        mixed = crop + amount[..., None] * (smooth.astype(np.float32) - crop)
        found.append(np.rint(mixed).astype(np.uint8))
    return found


def exposure_curve(stops: float) -> UInt8[np.ndarray, "256"]:
    """What 8-bit values become when 2^stops as much light falls on the sensor."""
    values = np.arange(256) * 2 ** (stops / GAMMA)
    return np.rint(values.clip(0, 255)).astype(np.uint8)


def compress(image: Crop, quality: int) -> Crop:
    """An RGB image as JPEG of this quality shows it."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
