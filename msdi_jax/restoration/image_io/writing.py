"""Photographs into files, whole or not at all."""

import io
import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from msdi_jax.restoration.image_io import formats, png, tiff
from msdi_jax.restoration.image_io.formats import FORMATS, SUFFIXES, Format
from msdi_jax.restoration.image_io.photograph import Metadata, Photograph, to_8_bit
from msdi_jax.runtime.atomic_write import atomic_write

QUALITY = 95


def check_writable(path: Path | str) -> None:
    """Refuse a target that could not be written, before the work is done.

    Raises:
        ValueError: for an unknown suffix, a folder or a read-only file of that name, or a folder
            to write to that is missing or not writable.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the file to write")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: the name must end in one of {', '.join(SUFFIXES)}")
    # The mode, since everything is writable for root.
    if path.exists() and not path.stat().st_mode & 0o222:
        raise ValueError(f"{path} is read-only: make it writable, or choose another name")
    # A link is followed.
    check_folder_of(path.resolve() if path.is_symlink() else path)


def check_folder_of(path: Path) -> None:
    """Raise ValueError where nothing can be written at `path`."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{path}: the folder {folder} does not exist, make it")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{path}: the folder {folder} cannot be written to, choose another")


def check_fits(path: Path, height: int, width: int) -> None:
    """Raise ValueError if the format of `path` has no room for an image of these sides."""
    longest = FORMATS[path.suffix.lower()].longest
    if max(height, width) > longest:
        raise ValueError(
            f"{path} cannot hold {width}×{height} pixels: {path.suffix} files have at most "
            f"{longest} a side; choose .png"
        )


def losses(path: Path, photograph: Photograph) -> str:
    """Describe what `write_photograph` cannot keep of a photograph's file; "" if nothing."""
    form = FORMATS[path.suffix.lower()]
    lost = formats.losses(photograph, form)
    if not lost:
        return ""
    message = f"written without {_listing(lost)}"
    in_png = [name for name in lost if name not in formats.losses(photograph, formats.PNG)]
    if in_png == lost:
        return f"{message}, which .png keeps"
    return f"{message}; .png keeps {_listing(in_png)}" if in_png else message


def write(path: Path | str, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write an image, whole or not at all, in the format of the suffix."""
    write_photograph(path, Photograph(image))


def write_photograph(path: Path | str, photograph: Photograph) -> None:
    """Write a photograph in the format of the suffix, with what that can hold.

    Raises:
        ValueError: see `check_writable` and `check_fits`.
    """
    path = Path(path)
    check_writable(path)
    check_fits(path, *photograph.rgb.shape[:2])
    encoded = _encode(photograph, FORMATS[path.suffix.lower()])
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded)


def _encode(photograph: Photograph, form: Format) -> bytes:
    channels, metadata = _channels(photograph, form), formats.kept(photograph, form)
    if form is formats.PNG:
        return png.encode(channels, metadata)
    if form is formats.TIFF:
        return tiff.encode(channels, metadata)
    if form is formats.JPEG:
        return _with_iptc(_encode_by_pillow(channels, "JPEG", metadata), metadata.iptc)
    return _encode_by_pillow(channels, "WEBP" if form is formats.WEBP else "BMP", metadata)


def _channels(photograph: Photograph, form: Format) -> np.ndarray:
    """Return (h, w) or (h, w, 2 to 4) channels as they are to be written."""
    rgb = photograph.rgb if form.deep else to_8_bit(photograph.rgb)
    if formats.has_one_channel(photograph, form):
        rgb = np.round(rgb.mean(axis=-1, keepdims=True)).astype(rgb.dtype)
    if photograph.alpha is not None and form.alpha:
        alpha = photograph.alpha if form.deep else to_8_bit(photograph.alpha)
        rgb = np.concatenate([rgb, alpha[..., None]], axis=-1)
    return rgb[..., 0] if rgb.shape[2] == 1 else rgb


def _encode_by_pillow(channels: np.ndarray, name: str, metadata: Metadata) -> bytes:
    options = {
        "icc_profile": metadata.profile,
        "exif": metadata.exif,
        "xmp": metadata.xmp,
        "comment": metadata.comment,
        "dpi": metadata.dpi,
    }
    options = {key: value for key, value in options.items() if value}
    if name == "JPEG":
        options |= {"quality": QUALITY, "subsampling": metadata.sampling}
    if name == "WEBP":
        # exact: colours under full transparency are kept.
        lossy = {"quality": QUALITY}
        options |= {"lossless": True, "exact": True} if metadata.lossless else lossy
    file = io.BytesIO()
    Image.fromarray(channels).save(file, name, **options)
    return file.getvalue()


def _with_iptc(jpeg: bytes, records: bytes | None) -> bytes:
    """Insert IPTC, as resource 0x0404 of Photoshop's segment, which Pillow does not write."""
    if not records:
        return jpeg
    resource = b"8BIM\x04\x04\0\0" + len(records).to_bytes(4, "big") + records
    content = b"Photoshop 3.0\0" + resource + bytes(len(records) % 2)
    segment = b"\xff\xed" + (len(content) + 2).to_bytes(2, "big") + content
    # After the JFIF segment, which comes first.
    place = 4 + int.from_bytes(jpeg[4:6], "big") if jpeg[2:4] == b"\xff\xe0" else 2
    return jpeg[:place] + segment + jpeg[place:]


def _listing(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
