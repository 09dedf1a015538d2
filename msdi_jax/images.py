"""Photographs in and out of files, uint8 RGB."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


def read(path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    """An image file, turned upright by its EXIF orientation, as RGB.

    Raises:
        ValueError: naming the file, when it is missing or no image.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist: give the path of an image file") from error
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error


def check_writable(path: Path | str) -> None:
    """Refuses a target that could not be written, before the work is done.

    Raises:
        ValueError: for an unknown suffix or a missing folder.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: the name must end in one of {', '.join(SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path}: the folder {path.absolute().parent} does not exist, make it")


def write(path: Path | str, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Writes an image; the file is there whole or not at all. The suffix tells the format."""
    path = Path(path)
    check_writable(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        Image.fromarray(image).save(temporary, quality=95)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def to_uint8(image: np.ndarray) -> UInt8[np.ndarray, "*shape"]:
    """[0, 1] → [0, 255], clipped and rounded, as the published evaluation does."""
    return np.round(np.clip(np.asarray(image), 0, 1) * 255).astype(np.uint8)


def to_unit(image: UInt8[np.ndarray, "*shape"]) -> np.ndarray:
    return image.astype(np.float32) / 255
