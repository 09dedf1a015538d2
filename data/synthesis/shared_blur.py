"""Crops that are blurred on the spot, each blur on two photographs.

What two such crops have in common is the blur and nothing else. A representation that serves the
one as well as the other knows the blur; stage 1 exchanges them (`reblur.shared_blur`). No blur
twice, which a prepared set, whose pairs are few, cannot offer, and the motion is known.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

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

# Crops of one size can be had almost without end.
_ENDLESS = 2**40
# Photographs kept in memory: 2 GB of them at 24 megapixels.
_PICTURES = 28


class SharedBlurPairs(Sequence):
    """Records of crops, of which 2k and 2k + 1 are blurred alike.

    "blurry" and "sharp", uint8 (crop, crop, 3), are what the middle of a whole frame would show
    were it all to move like its middle; "motion", float32 (3,), is `told` of that motion. A record
    depends on the settings, the seed and its index alone.

    Args:
        photographs: to take crops of.
        settings: longest side of the frames; domain, strength and seed of the blur.
        crop: side of the records, px.
        windows: random places to choose each crop from: the one with the strongest gradients.
        identity: share of twins that are not blurred.

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
        check_sizes(photographs, settings, crop)
        self.photographs = photographs
        # Of a large folder, they would not all have room.
        self._picture = functools.lru_cache(_PICTURES)(lambda index: photographs[index].read())
        # The threads that read batches ask for twins one after the other.
        self._shake = functools.lru_cache(maxsize=16)(self._draw)

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        shake = self._shake(int(index) // 2)
        seed = _seed(self.settings.seed, 1, int(index))
        picture, view = self._scene(np.random.default_rng(seed))
        # The two images have independent noise.
        blurry, sharp = render_evenly(picture, dataclasses.replace(shake, view=view, seed=seed))
        return {"blurry": blurry, "sharp": sharp, "motion": told(motion_field(shake, (1, 1)))[0, 0]}

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
            (self._picture(int(rng.integers(len(self.photographs)))), View(*rng.random(3)))
            for _ in range(self.windows)
        ]
        return drawn[0] if self.windows == 1 else max(drawn, key=lambda one: self._detail(*one))

    def _detail(self, picture: np.ndarray, view: View) -> float:
        green = place(picture, self.crop, self.crop, view)[..., 1].astype(np.float32)
        return sum(float(np.abs(np.diff(green, axis=axis)).mean()) for axis in (0, 1))


def told(field: MotionField) -> Float[np.ndarray, "rows columns 3"]:
    """Motion as numbers of about one size: log₂(1 + the path's length), and twice its direction's
    cosine and sine, which fade for paths of less than 4 px, where none is to be seen."""
    seen = np.minimum(field.length / 4, 1)
    twice = 2 * field.direction
    parts = (np.log2(1 + field.length), seen * np.cos(twice), seen * np.sin(twice))
    return np.stack(parts, axis=-1).astype(np.float32)


def check_sizes(photographs: Sequence[Photograph], settings: Settings, crop: int) -> None:
    """Raises ValueError for photographs too small for a crop and its motion."""
    least = crop + 2 * int(np.ceil(LARGEST_REACH * settings.longest_side + 2))
    for photograph in photographs:
        if min(photograph.size()) < least:
            raise ValueError(
                f"{photograph.path} is too small: crops of {crop} px and their motion need "
                f"{least} px on both sides; lower the crop or remove the photograph"
            )


def settings_of(dataset: Mapping) -> Settings:
    """Of the configuration's fields of a `camera_shake` set."""
    return Settings(**{key: dataset[key] for key in dataset.keys() - {"name", "directory"}})


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 16)
