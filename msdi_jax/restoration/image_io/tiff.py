"""TIFF and BigTIFF of 1 to 16 bits, grey or RGB, and their tags."""

import io
import logging
import struct
import warnings
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from tifffile import EXTRASAMPLE, PHOTOMETRIC, RESUNIT

from msdi_jax.restoration.image_io import exif
from msdi_jax.restoration.image_io.photograph import Metadata, Photograph, from_channels

# It logs what it also raises.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
# How TIFF and BigTIFF begin, of either byte order.
STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# A directory within EXIF, which would have to be moved too.
_INTEROPERABILITY = 0xA005
_XMP, _IPTC, _LAYERS = 700, 33723, 37724
_PER_INCH = {RESUNIT.INCH: 1, RESUNIT.CENTIMETER: 2.54}
_PLAIN = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB)
# Compressed with loss.
_LOSSY = (6, 7, 33007, 34892)


def read(path: Path) -> Photograph | None:
    """Decode a TIFF and turn it upright.

    Returns:
        None for colours that Pillow converts: palettes, and CMYK, Lab or YCbCr of 8 bits.

    Raises:
        ValueError: for what is no photograph of integers of at most 16 bits.
    """
    with tifffile.TiffFile(path) as file:
        page = _picture(file)
        if not _is_plain(page):
            return None
        _check_whole(page, path.stat().st_size)
        channels, left_out = _channels(page)
        tags, metadata = _metadata(path, page)
    if _LAYERS in page.tags:
        left_out = [*left_out, "layers"]
    channels, metadata, lost = exif.upright(channels, tags, metadata)
    return from_channels(channels, metadata, [*left_out, *lost])


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a TIFF turned upright."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        return exif.upright_size((page.imagelength, page.imagewidth), *_turn(page))


def encode(channels: np.ndarray, metadata: Metadata) -> bytes:
    """Encode (h, w) or (h, w, 2 to 4) channels of 8 or 16 bits."""
    count = channels.shape[2] if channels.ndim == 3 else 1
    tags = exif.descriptive(exif.parse(metadata.exif))
    parts = {key: part for key in exif.PARTS if (part := tags.get_ifd(key))}
    extra = [(int(key), 2, 0, str(tags[key]), True) for key in exif.DESCRIPTIVE if key in tags]
    blobs = {_XMP: (1, metadata.xmp), _IPTC: (7, metadata.iptc)}
    extra += [(key, kind, len(x), x, True) for key, (kind, x) in blobs.items() if x]
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        channels,
        photometric="rgb" if count > 2 else "minisblack",
        planarconfig="contig" if count > 1 else None,
        extrasamples=["unassalpha"] if count % 2 == 0 else None,
        compression="zlib",
        iccprofile=metadata.profile,
        resolution=metadata.dpi,
        resolutionunit="INCH" if metadata.dpi else None,
        extratags=extra,
        software=False,
        metadata=None,
        byteorder="<",
    )
    return _with_parts(file.getvalue(), parts)


def _with_parts(encoded: bytes, parts: dict[int, dict]) -> bytes:
    """Append directories of EXIF, which tifffile does not write, and a first one that names them.

    Args:
        encoded: a little-endian TIFF; BigTIFF, of more than 4 GB, is returned as it is.
    """
    if not parts or not encoded.startswith(STARTS[0]):
        return encoded
    (first,) = struct.unpack_from("<I", encoded, 4)
    (count,) = struct.unpack_from("<H", encoded, first)
    entries = list(struct.iter_unpack("<H10s", encoded[first + 2 : first + 2 + 12 * count]))
    for key, part in parts.items():
        encoded += bytes(len(encoded) % 2)
        entries.append((int(key), struct.pack("<HII", 4, 1, len(encoded))))
        directory = ImageFileDirectory_v2()
        directory.update({tag: value for tag, value in part.items() if tag != _INTEROPERABILITY})
        encoded += directory.tobytes(len(encoded))
    encoded += bytes(len(encoded) % 2)
    rows = b"".join(struct.pack("<H10s", *entry) for entry in sorted(entries))
    directory = struct.pack("<H", len(entries)) + rows + bytes(4)
    return encoded[:4] + struct.pack("<I", len(encoded)) + encoded[8:] + directory


def _picture(file: tifffile.TiffFile) -> tifffile.TiffPage:
    """Return the only picture of a file."""
    page = file.pages.first
    if page.is_reduced:
        raise ValueError(
            "it has a small picture of the photograph first, as raw files of cameras have: save "
            "it as a PNG"
        )
    # Small versions and masks of the same are no pages of their own.
    pages = sum(not (one.is_reduced or one.is_mask) for one in file.pages)
    if pages > 1:
        raise ValueError(f"it has {pages} pages: save each as a picture of its own")
    if page.sampleformat != 1 or page.bitspersample > 16:
        raise ValueError(f"it has values of type {page.dtype}: save it as 8 or 16 bit")
    return page


def _is_plain(page: tifffile.TiffPage) -> bool:
    if page.photometric in _PLAIN and page.imagedepth == 1:
        # Compression by JPEG turns RGB into other colours, which Pillow knows.
        return page.compression not in _LOSSY
    if page.bitspersample > 8:
        name = getattr(page.photometric, "name", page.photometric)
        raise ValueError(
            f"it has colours of the kind {name} in {page.bitspersample} bits: convert it to RGB"
        )
    return False


def _check_whole(page: tifffile.TiffPage, size: int) -> None:
    """Raise ValueError if pixels are missing, for which tifffile would return zeros."""
    ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
    if (missing := max(ends, default=0) - size) > 0:
        raise ValueError(f"it is truncated: its last {missing} bytes are missing")


def _channels(page: tifffile.TiffPage) -> tuple[np.ndarray, list[str]]:
    """Return (h, w, 1 to 4) upper bits, with alpha last if there is one, and what is left out."""
    values = page.asarray()
    values = np.moveaxis(values, 0, -1) if page.axes[0] == "S" else np.atleast_3d(values)
    values = _scaled(values, page.bitspersample)
    colours = 3 if page.photometric == PHOTOMETRIC.RGB else 1
    extras = list(page.extrasamples)
    kinds = [kind for kind in extras if kind in (EXTRASAMPLE.UNASSALPHA, EXTRASAMPLE.ASSOCALPHA)]
    rgb, others = values[..., :colours], values.shape[2] - colours
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        rgb = np.iinfo(values.dtype).max - rgb
    unknown = others - len(kinds[:1])
    left_out = [f"{unknown} extra channel{'s' * (unknown > 1)}"] if unknown else []
    if not kinds:
        return rgb, left_out
    alpha = values[..., colours + extras.index(kinds[0])][..., None]
    if kinds[0] == EXTRASAMPLE.ASSOCALPHA:
        rgb = _divided(rgb, alpha)
    return np.concatenate([rgb, alpha], axis=2), left_out


def _scaled(values: np.ndarray, bits: int) -> np.ndarray:
    """Map integers of `bits` bits to the full range of 8 or 16 bits."""
    if bits in (8, 16):
        return values
    most = 255 if bits < 8 else 65535
    scaled = np.round(values * (most / (2**bits - 1)))
    return scaled.astype(np.uint8 if bits < 8 else np.uint16)


def _divided(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return colours that were multiplied by alpha."""
    most = np.iinfo(rgb.dtype).max
    return np.clip(np.round(rgb * (most / np.maximum(alpha, 1))), 0, most).astype(rgb.dtype)


def _turn(page: tifffile.TiffPage) -> tuple[Image.Exif, bytes | None]:
    tags = Image.Exif()
    if tag := page.tags.get(exif.ORIENTATION):
        tags[exif.ORIENTATION] = int(tag.value)
    return tags, _bytes(page, _XMP)


def _metadata(path: Path, page: tifffile.TiffPage) -> tuple[Image.Exif, Metadata]:
    turn, xmp = _turn(page)
    tags = _tags(path)
    tags.update(turn)
    factor = _PER_INCH.get(page.resolutionunit) if 282 in page.tags else None
    metadata = Metadata(
        profile=_bytes(page, 34675),
        xmp=xmp,
        iptc=_bytes(page, _IPTC),
        dpi=tuple(float(x) * factor for x in page.get_resolution()) if factor else None,
        lossless=True,
    )
    return tags, metadata


def _tags(path: Path) -> Image.Exif:
    try:
        # Pillow warns of tags that are not kept.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            return exif.descriptive(image.getexif())
    # Of big-endian BigTIFF, among others.
    except OSError:
        return Image.Exif()


def _bytes(page: tifffile.TiffPage, code: int) -> bytes | None:
    tag = page.tags.get(code)
    return bytes(tag.value) if tag and tag.value else None
