"""Compressed bfloat16 weights for distribution, at a third of the size of float32 weights.

Upper and lower bytes are stored separately. The lower bytes are noise. The upper bytes hold sign
and exponent, which vary little between weights, and compress to a third.
"""

import zipfile
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np
from flax import traverse_util

from msdi_jax.networks.functional import Arrays


def write(file: Path, arrays: Arrays) -> None:
    """Write a nested dict of floating-point arrays, rounded to bfloat16, as .npz byte planes."""
    flat = traverse_util.flatten_dict(arrays)
    np.savez_compressed(file, **{_name(path): _planes(np.asarray(x)) for path, x in flat.items()})


def read(file: Path, like: Arrays) -> Arrays:
    """Read float32 arrays in the structure of the abstract `like`.

    Raises:
        ValueError: the file is damaged, or its arrays have other names or shapes.
    """
    expected = traverse_util.flatten_dict(like)
    try:
        with np.load(file) as stored:
            planes = dict(stored)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"damaged: {error}") from error
    shapes = {_name(path): (2, *x.shape) for path, x in expected.items()}
    if shapes != {name: x.shape for name, x in planes.items()}:
        raise ValueError("their names or shapes are another network's")
    arrays = {path: _values(planes[_name(path)]).reshape(x.shape) for path, x in expected.items()}
    return traverse_util.unflatten_dict(arrays)


def _name(path: tuple) -> str:
    return "/".join(map(str, path))


def _planes(array: np.ndarray) -> np.ndarray:
    """Return the bytes as an array (2, …): the lower ones, then the upper ones."""
    bits = array.astype(ml_dtypes.bfloat16).view(np.uint16)
    return np.stack([bits & 0xFF, bits >> 8]).astype(np.uint8)


def _values(planes: np.ndarray) -> np.ndarray:
    bits = planes[0].astype(np.uint16) | (planes[1].astype(np.uint16) << 8)
    return np.atleast_1d(bits).view(ml_dtypes.bfloat16).astype(np.float32)
