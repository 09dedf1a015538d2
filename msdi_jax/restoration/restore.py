"""One image of any size, restored: whole, or in the tiles of the published evaluation.

`msdi_jax.restoration.bounded_memory` restores within a bound on memory.
"""

import numpy as np
from jaxtyping import Float, Int

from msdi_jax.models.self_ensemble import Restorer
from msdi_jax.networks.unet import MULTIPLE

TILE = 256


def tile_origins(height: int, width: int, tile: int = TILE) -> Int[np.ndarray, "n 2"]:
    """(top, left) of the tiles of the published evaluation, row by row.

    (side - 1) // tile + 1 tiles at equal steps, rounded up; the last is flush with the border.
    """
    tops, lefts = (_origins(side, tile) for side in (height, width))
    return np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)


def _origins(side: int, tile: int) -> np.ndarray:
    count = (side - 1) // tile + 1
    if count == 1:
        return np.zeros(1, np.int64)
    step = -(-(side - tile) // (count - 1))
    return np.minimum(np.arange(count) * step, side - tile)


def whole(restorer: Restorer, image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Restores in one piece: padded by reflection to a multiple of 16, and cropped again."""
    height, width, _ = image.shape
    restored = np.asarray(restorer(pad_to_multiple(image)[None]))[0]
    return np.clip(restored[:height, :width], 0, 1)


def grid(restorer: Restorer, image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Restores 256×256 tiles one by one; where they overlap they are averaged, un-clamped.

    The published tables are computed this way.
    """
    height, width, _ = image.shape
    image = _reflect_to(image, max(height, TILE), max(width, TILE))
    # The input may hold several images as channels; the output is one.
    total = np.zeros((*image.shape[:2], 3), np.float32)
    count = np.zeros((*image.shape[:2], 1), np.float32)
    for top, left in tile_origins(*image.shape[:2]):
        window = np.s_[top : top + TILE, left : left + TILE]
        total[window] += np.asarray(restorer(image[window][None]))[0]
        count[window] += 1
    return np.clip((total / count)[:height, :width], 0, 1)


MODES = {"whole": whole, "grid": grid}


def pad_to_multiple(image: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h2 w2 3"]:
    """Grows the image at its end by reflection, to sides that the networks take."""
    return _reflect_to(image, *(-(-side // MULTIPLE) * MULTIPLE for side in image.shape[:2]))


def _reflect_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """NumPy reflects as often as a small image needs."""
    rows, columns = height - image.shape[0], width - image.shape[1]
    return np.pad(image, ((0, rows), (0, columns), (0, 0)), mode="reflect")
