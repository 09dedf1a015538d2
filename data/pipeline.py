"""Batches of random crops, addressed by step.

The augmentation is drawn before records are divided among hosts, and batches are formed before
they are prefetched. So `batches(...)[step]` depends on the source, the seed, the crop and the
global batch size alone, and not on threads or the number of hosts. A resumed run needs only its
step number.

    steps = batches(source, batch_size=8, crop=256, seed=0)
    with closing(iterate(steps, start_step=1000)) as iterator:
        for batch in iterator: ...
"""

import functools
import operator
import os
from collections.abc import Iterator, Mapping, Sequence

import cv2
import grain
import numpy as np
from jaxtyping import Int, UInt8

from msdi_jax.data.augment import UNCHANGED, Augment, Augmentation
from msdi_jax.data.readable import SkipDamaged


def batches(
    source: Sequence[Mapping],
    *,
    batch_size: int,
    crop: int,
    context: int = 0,
    seed: int,
    process: int = 0,
    processes: int = 1,
    skip_damaged: bool = False,
    augmentation: Augmentation = UNCHANGED,
) -> grain.MapDataset:
    """Return this host's part of every batch: [step] → {"blurry", "sharp"}, uint8 (b, h, w, 3).

    The source is shuffled again for every epoch and repeats indefinitely. Batches cross the ends
    of epochs, so no record is dropped. Both images of a pair are cropped and flipped the same way.

    Args:
        source: records with uint8 RGB images "blurry" and "sharp", and an optional "name".
        batch_size: of all hosts together.
        crop: side of the square crops, px.
        context: pixels around the crop on every side that the batch's images include.
        seed: of the order and of the augmentation.
        process: this host's number.
        processes: number of hosts. Their parts, concatenated, are the batch of a single host.
        skip_damaged: use the next record instead of one that cannot be read.
        augmentation: further changes of the crops.

    Raises:
        ValueError: for an empty source or impossible numbers; when a record is read, also for a
            damaged one, an image smaller than the crop or a pair of unequal sizes.
    """
    if len(source) == 0:
        raise ValueError("the source holds no records: check the split and its directory")
    if crop < 1:
        raise ValueError(f"crop={crop}: at least 1 px is needed")
    readable = SkipDamaged(source, skip=skip_damaged)
    # Practically infinite; Grain cannot slice an infinite data set.
    pairs = grain.MapDataset.source(readable).seed(seed).shuffle().repeat(2**31)
    crops = pairs.random_map(RandomCrop(crop, context, augmentation))
    return _batched(crops, batch_size, process, processes, augmentation)


def batches_of_crops(
    source: Sequence[Mapping],
    *,
    batch_size: int,
    seed: int,
    process: int = 0,
    processes: int = 1,
    augmentation: Augmentation = UNCHANGED,
) -> grain.MapDataset:
    """Return `batches` of records that are crops already, in their order, with all entries."""
    crops = grain.MapDataset.source(source).seed(seed)
    return _batched(crops, batch_size, process, processes, augmentation)


def _batched(
    crops: grain.MapDataset,
    batch_size: int,
    process: int,
    processes: int,
    augmentation: Augmentation,
) -> grain.MapDataset:
    if batch_size < 1 or batch_size % processes:
        raise ValueError(
            f"a batch of {batch_size} cannot be shared by {processes} hosts: choose a multiple"
        )
    if not 0 <= process < processes:
        raise ValueError(f"process {process} is not one of 0 … {processes - 1}")
    if augmentation.changes:
        crops = crops.random_map(Augment(augmentation))
    return crops.batch(batch_size // processes)[process::processes]


def iterate(
    steps: grain.MapDataset, start_step: int = 0, *, threads: int | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over batches from `start_step`, with prefetching; `close()` it when done.

    Each of `threads` (default: the number of cores, at most 16) reads a whole batch, and one more
    batch is kept ready; this bounds the memory. The batches do not depend on it.
    """
    threads = threads or min(os.cpu_count() or 1, 16)
    # One thread per batch: more threads of OpenCV would compete for the same cores.
    cv2.setNumThreads(1)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
    return iter(steps[start_step:].to_iter_dataset(options))


# OpenCV's codes of flips (vertical, horizontal).
_FLIPS = {(1, 0): 0, (0, 1): 1, (1, 1): -1}


def crop_grid(height: int, width: int, size: int = 512, step: int = 256) -> Int[np.ndarray, "n 2"]:
    """Return corners (top, left) of tiles every `step` px, row by row, the last at the border.

    Raises:
        ValueError: if the image is smaller than a tile.
    """
    if min(height, width) < size:
        raise ValueError(
            f"an image of {height}×{width} px holds no tile of {size} px: lower the tile size"
        )
    tops, lefts = (
        np.unique(np.append(np.arange(0, side - size, step), side - size))
        for side in (height, width)
    )
    return np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)


class RandomCrop(grain.transforms.RandomMap):
    """Square crop at the same random place of both images, in one of eight orientations.

    `augmentation` gives the number of windows that are drawn, of which the one whose images differ
    most without the `context` is used, and the share of crops with any rotation.
    """

    def __init__(self, crop: int, context: int = 0, augmentation: Augmentation = UNCHANGED):
        self.crop, self.context, self.augmentation = crop, context, augmentation
        self.size = crop + 2 * context

    def random_map(
        self, element: Mapping, rng: np.random.Generator
    ) -> dict[str, UInt8[np.ndarray, "crop crop 3"]]:
        height, width = self.check(element)
        chosen = self.augmentation
        drawn = [self._window(height, width, rng) for _ in range(chosen.windows)]
        window = drawn[0]
        if chosen.windows > 1:
            window = max(drawn, key=lambda one: _difference(element, one, self.context))
        vertical, horizontal, transpose = rng.integers(2, size=3)
        cut = operator.itemgetter(window)
        if chosen.rotation and rng.random() < chosen.rotation:
            angle, zoom = rng.uniform(-45, 45), chosen.zoom ** rng.uniform(-1, 1)
            cut = functools.partial(_rotated_window, window=window, angle=angle, zoom=zoom)
        return {
            key: _oriented(cut(element[key]), vertical, horizontal, transpose)
            for key in ("blurry", "sharp")
        }

    def _window(self, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
        top = rng.integers(height - self.size + 1)
        left = rng.integers(width - self.size + 1)
        return np.s_[top : top + self.size, left : left + self.size]

    def check(self, element: Mapping) -> tuple[int, int]:
        """Return the height and width of a pair.

        Raises:
            ValueError: naming a pair of unequal sizes, or smaller than the crop and its context.
        """
        blurry, sharp = element["blurry"].shape, element["sharp"].shape
        if blurry != sharp:
            raise ValueError(
                f"{_name(element)}: the blurry image is {blurry[0]}×{blurry[1]} px and the sharp "
                f"one {sharp[0]}×{sharp[1]} px: pairs must have equal sizes"
            )
        if min(sharp[:2]) < self.size:
            beyond = f" and {self.context} px around it" if self.context else ""
            raise ValueError(
                f"{_name(element)} is {sharp[0]}×{sharp[1]} px, smaller than the crop of "
                f"{self.crop} px{beyond}: lower the crop, prepare larger tiles, or remove the pair"
            )
        return sharp[:2]


def _rotated_window(
    image: np.ndarray, window: tuple[slice, slice], angle: float, zoom: float
) -> np.ndarray:
    """Return a square window rotated about its middle by `angle` degrees, mirrored at borders."""
    top, left, size = window[0].start, window[1].start, window[0].stop - window[0].start
    middle = (size - 1) / 2
    place = cv2.getRotationMatrix2D((left + middle, top + middle), angle, zoom)
    place[:, 2] -= left, top
    return cv2.warpAffine(
        image, place, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )


def _oriented(image: np.ndarray, vertical: int, horizontal: int, transpose: int) -> np.ndarray:
    # NumPy takes ten times as long to copy flipped or transposed arrays.
    if vertical or horizontal:
        image = cv2.flip(image, _FLIPS[vertical, horizontal])
    if transpose:
        image = cv2.transpose(image)
    return np.ascontiguousarray(image)


def _difference(element: Mapping, window: tuple[slice, slice], context: int) -> float:
    inner = tuple(slice(axis.start + context, axis.stop - context) for axis in window)
    return cv2.norm(element["blurry"][inner], element["sharp"][inner], cv2.NORM_L2)


def _name(element: Mapping) -> str:
    name = element.get("name", "a pair without a name")
    return name.decode() if isinstance(name, bytes) else str(name)


def centre_crops(
    source: Sequence[Mapping], crop: int, count: int, context: int = 0
) -> dict[str, UInt8[np.ndarray, "b side side 3"]]:
    """Return a fixed batch: the middles of up to `count` records, evenly spaced in the source.

    `side` is `crop` plus `context` px on either side.
    """
    chosen = np.unique(np.linspace(0, len(source) - 1, count).astype(int))
    pairs = [_centre(source[int(index)], crop, context) for index in chosen]
    return {key: np.stack([pair[key] for pair in pairs]) for key in ("blurry", "sharp")}


def _centre(element: Mapping, crop: int, context: int) -> dict[str, np.ndarray]:
    whole = RandomCrop(crop, context)
    height, width = whole.check(element)
    top, left = (height - whole.size) // 2, (width - whole.size) // 2
    window = np.s_[top : top + whole.size, left : left + whole.size]
    return {key: element[key][window] for key in ("blurry", "sharp")}
