"""Shared-blur pairs: crops that are blurred when they are read, two photographs with each blur.

Two such crops have nothing but the blur in common, so a representation that serves both describes
the blur. Stage 1 exchanges them (`reblur.shared_blur`). The true motion is known, and no blur is
repeated, unlike in a prepared set of limited size.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from msdi_jax.data.camera_shake.camera_shake_dataset_builder import LARGEST_REACH, Settings
from msdi_jax.data.photographs import Photograph
from msdi_jax.data.synthesis.camera_motion import (
    DOMAINS,
    MotionField,
    Shake,
    View,
    draw_shake,
    motion_field,
)
from msdi_jax.data.synthesis.render import place, render_evenly

# Number of records, which are drawn on demand: practically unlimited.
_LENGTH = 2**40
# Photographs kept in memory: 2 GB at 24 megapixels each.
_CACHED_PHOTOGRAPHS = 28


class SharedBlurPairs(Sequence):
    """Records of crops; records 2k and 2k + 1 have the same blur.

    "blurry" and "sharp", uint8 (crop, crop, 3), show the middle of a frame that moves everywhere
    as it does in the middle. "motion", float32 (3,), is the `motion_target` of that motion. A
    record depends on the settings, their seed and its index alone.

    Args:
        photographs: sources of the crops.
        settings: longest side of the frames; domain, strength and seed of the blur.
        crop: side of the records, px.
        windows: number of random windows that each crop is chosen from, by the gradients.
        identity: share of pairs without blur.

    Raises:
        ValueError: for photographs too small for a crop and its motion.
    """

    def __init__(
        self,
        photographs: Sequence[Photograph],
        settings: Settings,
        crop: int,
        windows: int = 1,
        identity: float = 0.0,
    ):
        self.settings, self.crop, self.windows, self.identity = settings, crop, windows, identity
        check_photograph_sizes(photographs, settings, crop)
        self.photographs = photographs
        # Memory does not hold all photographs of a large folder.
        self._read = functools.lru_cache(_CACHED_PHOTOGRAPHS)(lambda i: photographs[i].read())
        # The two records of a pair are read one after the other.
        self._shake = functools.lru_cache(maxsize=16)(self._draw)

    def __len__(self) -> int:
        return _LENGTH

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        shake = self._shake(int(index) // 2)
        seed = _seed(self.settings.seed, 1, int(index))
        picture, view = self._scene(np.random.default_rng(seed))
        # The two images have independent noise.
        blurry, sharp = render_evenly(picture, dataclasses.replace(shake, view=view, seed=seed))
        motion = motion_target(motion_field(shake, (1, 1)))[0, 0]
        return {"blurry": blurry, "sharp": sharp, "motion": motion}

    def _draw(self, blur: int) -> Shake:
        shake = draw_shake(
            _seed(self.settings.seed, 0, blur),
            self.settings.longest_side,
            self.settings.longest_side,
            domain=DOMAINS[blur % 2] if self.settings.domain == "both" else self.settings.domain,
            anchor=self.settings.anchor,
            strength=self.settings.strength,
            reach=LARGEST_REACH * self.settings.longest_side,
            max_layers=0,
        )
        if np.random.default_rng(_seed(self.settings.seed, 2, blur)).random() < self.identity:
            shake = dataclasses.replace(shake, camera=0 * shake.camera)
        return dataclasses.replace(shake, height=self.crop, width=self.crop)

    def _scene(self, rng: np.random.Generator) -> tuple[np.ndarray, View]:
        drawn = [
            (self._read(int(rng.integers(len(self.photographs)))), View(*rng.random(3)))
            for _ in range(self.windows)
        ]
        return drawn[0] if self.windows == 1 else max(drawn, key=lambda one: self._detail(*one))

    def _detail(self, picture: np.ndarray, view: View) -> float:
        green = place(picture, self.crop, self.crop, view)[..., 1].astype(np.float32)
        return sum(float(np.abs(np.diff(green, axis=axis)).mean()) for axis in (0, 1))


def motion_target(field: MotionField) -> Float[np.ndarray, "rows columns 3"]:
    """Encode motion as regression targets of similar magnitude.

    They are log₂(1 + length of the path in px), and cosine and sine of twice its direction. The
    latter two fade below 4 px, where no direction is visible.
    """
    visible = np.minimum(field.length / 4, 1)
    twice = 2 * field.direction
    parts = (np.log2(1 + field.length), visible * np.cos(twice), visible * np.sin(twice))
    return np.stack(parts, axis=-1).astype(np.float32)


def check_photograph_sizes(
    photographs: Sequence[Photograph], settings: Settings, crop: int
) -> None:
    """Check that photographs are large enough for a crop and its motion.

    Raises:
        ValueError: naming the first one that is not.
    """
    least = crop + 2 * int(np.ceil(LARGEST_REACH * settings.longest_side + 2))
    for photograph in photographs:
        if min(photograph.size()) < least:
            raise ValueError(
                f"{photograph.path} is too small: crops of {crop} px and their motion need "
                f"{least} px on both sides; lower the crop or remove the photograph"
            )


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 16)
