"""Photographs out of files; the first bytes decide what a file is, not its name."""

import contextlib
import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageFile, JpegImagePlugin

from msdi_jax.restoration.image_io import exif, png, tiff
from msdi_jax.restoration.image_io.formats import READABLE
from msdi_jax.restoration.image_io.photograph import (
    Metadata,
    Photograph,
    from_channels,
    to_8_bit,
)
from msdi_jax.runtime.optional import require

# The memory decides, see `_check_memory`.
Image.MAX_IMAGE_PIXELS = None
# A photograph as read and as float32.
BYTES_PER_PIXEL = 16
# Share of a JPEG's rows that may be missing at its end.
MISSING = 0.1
_OTHER_COLOURS = ("CMYK", "LAB", "HSV")
_IPTC = 0x0404


def below(folder: Path) -> list[Path]:
    """Return the image files below a folder, sorted, also where links lead, but no hidden ones.

    data/photographs.py has the same: neither imports the other.
    """
    files_below = []
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place).resolve()
        folders[:] = [
            name
            for name in folders
            # A link may lead back to where it is.
            if not name.startswith(".") and (here / name).resolve() not in (here, *here.parents)
        ]
        files_below += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(path for path in files_below if path.suffix.lower() in READABLE)


def read_photograph(path: Path | str, truncated: bool = False) -> Photograph:
    """Read an image file and turn it upright, by its EXIF orientation.

    Args:
        truncated: read a JPEG of which at most `MISSING` of the rows are missing, with a warning.

    Raises:
        ValueError: naming the file, when it is missing, no image, an animation, too large for this
            machine, of more than 16 bits, or a TIFF of several pages or unusual colours.
    """
    path = Path(path)
    with _named(path):
        _check_memory(*_size(path))
        start = _start_of(path)
        if start.startswith(png.START):
            return png.read(path)
        if start.startswith(tiff.STARTS) and (photograph := tiff.read(path)):
            return photograph
        return _read_by_pillow(path, truncated)


def read(path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    """Return the colours of `read_photograph` in 8 bits."""
    return to_8_bit(read_photograph(path).rgb)


def read_size(path: Path | str) -> tuple[int, int]:
    """Return (height, width) of an image turned upright, without decoding its pixels.

    Raises:
        ValueError: naming the file, when it is missing or no image.
    """
    with _named(Path(path)):
        return _size(Path(path))


def _size(path: Path) -> tuple[int, int]:
    start = _start_of(path)
    if start.startswith(png.START):
        return png.read_size(path)
    if start.startswith(tiff.STARTS):
        return tiff.read_size(path)
    with _opened(path) as image:
        return exif.upright_size(image.size[::-1], image.getexif(), image.info.get("xmp"))


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what readers raise into a ValueError that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist: give the path of an image file") from error
    # The readers of the many formats raise exceptions of many types, most without an explanation.
    except Exception as error:
        explained = isinstance(error, ValueError | OSError)
        reason = error if explained else "it is truncated or damaged"
        raise ValueError(f"{path} cannot be read as an image: {reason}") from error


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _check_memory(height: int, width: int) -> None:
    """Raise ValueError for an image that this machine has too little memory for."""
    if not hasattr(os, "sysconf"):
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = height * width * BYTES_PER_PIXEL
    if needed > memory:
        raise ValueError(
            f"its {width}×{height} pixels take at least {needed / 1e9:.1f} GB, and this machine "
            f"has {memory / 1e9:.1f} GB of memory: cut it into parts"
        )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a file with Pillow, with plugins for its format if it needs one."""
    start = _start_of(path)
    if start[4:8] == b"ftyp" and start[8:12] not in (b"avif", b"avis"):
        require("pillow_heif", "heic", f"{path.name}").register_heif_opener()
    if start.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        require("pillow_jxl", "heic", f"{path.name}")
    with Image.open(path) as image:
        yield image


def _read_by_pillow(path: Path, truncated: bool) -> Photograph:
    with _opened(path) as image:
        if image.mode in ("F", "I"):
            raise ValueError("it has more than 16 bits per value: save it as 8 or 16 bit")
        # Other formats hold further pictures of the same.
        if image.format in ("GIF", "WEBP", "AVIF") and image.is_animated:
            raise ValueError(png.ANIMATION)
        warnings = _load(image, path, truncated)
        metadata = _metadata(image, _is_lossless(path))
        converted, left_out = _converted(image)
        channels, metadata, lost = exif.upright(np.atleast_3d(converted), _tags(image), metadata)
        return from_channels(channels, metadata, [*left_out, *lost], warnings)


def _load(image: Image.Image, path: Path, truncated: bool) -> list[str]:
    """Decode the pixels, and return warnings."""
    try:
        image.load()
        return []
    except OSError:
        if not truncated or image.format not in ("JPEG", "MPO"):
            raise
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    pixels = np.asarray(image)
    varied = (pixels != pixels[:, :1]).reshape(image.height, -1).any(axis=1)
    missing = image.height - 1 - int(varied.nonzero()[0].max(initial=-1))
    if missing > MISSING * image.height:
        raise ValueError(f"it is truncated: {missing} of its {image.height} rows are missing")
    return [f"{path} is truncated: about {missing} of its {image.height} rows are missing"]


def _converted(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    """Return grey or RGB values, with alpha if there is any, and what is left out."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16), []
    left_out = []
    if image.format == "MPO" and image.n_frames > 1:
        left_out.append(f"{image.n_frames - 1} further picture(s) of the file")
    if (bits := image.info.get("bit_depth", 8)) > 8:
        left_out.append(f"{bits}-bit depth")
    if image.mode in _OTHER_COLOURS:
        left_out.append(f"{image.mode} colours (converted to RGB)")
    if image.mode in ("1", "L"):
        mode = "LA" if image.has_transparency_data else "L"
    elif image.mode in ("LA", "La"):
        mode = "LA"
    else:
        mode = "RGBA" if image.has_transparency_data else "RGB"
    return np.asarray(_in_mode(image, mode)), left_out


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert colours, those of print by their own profile if they have one."""
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK" and profile:
        with contextlib.suppress(ImageCms.PyCMSError):
            own, srgb = io.BytesIO(profile), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
    return image.convert(mode)


def _tags(image: Image.Image) -> Image.Exif:
    tags = image.getexif()
    # Pillow has turned a TIFF.
    return exif.descriptive(tags) if image.format == "TIFF" else tags


def _metadata(image: Image.Image, lossless: bool) -> Metadata:
    info, is_jpeg = image.info, image.format in ("JPEG", "MPO")
    # The profile is not that of converted colours.
    converted = image.mode in _OTHER_COLOURS
    resources = info.get("photoshop") or {}
    comment = info.get("comment") if is_jpeg else None
    return Metadata(
        profile=None if converted else info.get("icc_profile"),
        xmp=info.get("xmp"),
        iptc=resources.get(_IPTC),
        comment=comment,
        dpi=info.get("dpi"),
        # Unusual ones, and grey, are -1.
        sampling=max(0, JpegImagePlugin.get_sampling(image)) if is_jpeg else 0,
        lossless=lossless,
    )


def _is_lossless(path: Path) -> bool:
    """Return whether a file that Pillow reads is compressed without loss."""
    with path.open("rb") as file:
        start = file.read(12)
        if start[8:] != b"WEBP":
            return start.startswith((b"BM", b"GIF", b"P5", b"P6"))
        while head := file.read(8):
            kind, length = struct.unpack("<4sI", head)
            if kind in (b"VP8 ", b"VP8L"):
                return kind == b"VP8L"
            file.seek(length + length % 2, io.SEEK_CUR)
    return False
