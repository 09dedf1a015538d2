"""EXIF, the tags that a camera writes into a photograph, and the orientation it asks for."""

import contextlib
import dataclasses
import re

import numpy as np
from PIL import ExifTags, Image

from msdi_jax.restoration.image_io.photograph import Metadata

HEADER = b"Exif\0\0"
ORIENTATION = ExifTags.Base.Orientation
DESCRIPTIVE = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
# Directories within EXIF.
PARTS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>\s*))([1-8])""")
# The turn that each orientation asks of a viewer.
_UPRIGHT = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


def parse(data: bytes | None) -> Image.Exif:
    """Return the tags of EXIF data; none for damaged data."""
    tags = Image.Exif()
    # Pillow raises exceptions of many types.
    with contextlib.suppress(Exception):
        if data:
            tags.load(data)
    return tags


def upright(
    pixels: np.ndarray, tags: Image.Exif, metadata: Metadata
) -> tuple[np.ndarray, Metadata, list[str]]:
    """Turn (h, w, c) pixels as the orientation asks for, and drop it from the metadata.

    Returns:
        Pixels, metadata, and names of what is left out.
    """
    turn = _UPRIGHT.get(_orientation(tags, metadata.xmp))
    pixels = np.ascontiguousarray(turn(pixels) if turn else pixels)
    xmp = metadata.xmp and _XMP_ORIENTATION.sub(rb"\g<1>1", metadata.xmp)
    try:
        data, left_out = _bytes(tags, *pixels.shape[:2]), []
    # Pillow raises exceptions of many types for unusual tags; the photograph is worth more.
    except Exception:
        data, left_out = None, ["unusual EXIF"]
    return pixels, dataclasses.replace(metadata, xmp=xmp, exif=data), left_out


def upright_size(size: tuple[int, int], tags: Image.Exif, xmp: bytes | None) -> tuple[int, int]:
    """Return (height, width) of an image turned upright."""
    # From 5 on, images lie on their side.
    return size if _orientation(tags, xmp) < 5 else size[::-1]


def _orientation(tags: Image.Exif, xmp: bytes | None) -> int:
    """Return the orientation, 1 to 8, of EXIF or, without one, of XMP."""
    value = tags.get(ORIENTATION)
    if value is None and (match := _XMP_ORIENTATION.search(xmp or b"")):
        value = int(match[2])
    return value if value in _UPRIGHT else 1


def _bytes(tags: Image.Exif, height: int, width: int) -> bytes | None:
    """Serialize the tags, if any, without the orientation, for an image of these sides."""
    tags.pop(ORIENTATION, None)
    camera = tags.get_ifd(ExifTags.IFD.Exif)
    for place, key, side in (
        (tags, ExifTags.Base.ImageWidth, width),
        (tags, ExifTags.Base.ImageLength, height),
        (camera, ExifTags.Base.ExifImageWidth, width),
        (camera, ExifTags.Base.ExifImageHeight, height),
    ):
        if key in place:
            place[key] = side
    return tags.tobytes() if tags or any(map(tags.get_ifd, PARTS)) else None


def descriptive(tags: Image.Exif) -> Image.Exif:
    """Drop the tags that say where the pixels of a TIFF are in its file."""
    kept = Image.Exif()
    kept.update({tag: tags[tag] for tag in DESCRIPTIVE if tag in tags})
    for part in PARTS:
        kept.get_ifd(part).update(tags.get_ifd(part))
    return kept
