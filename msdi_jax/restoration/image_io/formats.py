"""What each image format can hold."""

import dataclasses
from collections.abc import Iterator

from msdi_jax.restoration.image_io.photograph import Metadata, Photograph


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that is written.

    Attributes:
        longest: longest side, px.
        metadata: fields of `Metadata` that it keeps, with the most bytes of each.
        deep: whether it holds 16 bits.
        alpha: whether it holds transparency.
        grey: whether it holds grey as one channel.
    """

    longest: int
    metadata: dict[str, float]
    deep: bool = False
    alpha: bool = False
    grey: bool = True


def _any_size(*fields: str) -> dict[str, float]:
    return dict.fromkeys(fields, float("inf"))


PNG = Format(
    2**31 - 1,
    _any_size("profile", "exif", "xmp", "comment", "dpi", "text", "colour"),
    deep=True,
    alpha=True,
)
# A segment of a JPEG has room for 65,533 bytes, its name included.
JPEG = Format(
    65_500,
    {"exif": 65_533, "xmp": 65_504, "iptc": 65_500, "comment": 65_533}
    | _any_size("profile", "dpi"),
)
WEBP = Format(16_383, _any_size("profile", "exif", "xmp"), alpha=True, grey=False)
TIFF = Format(2**31 - 1, _any_size("profile", "exif", "xmp", "iptc", "dpi"), deep=True, alpha=True)
BMP = Format(2**31 - 1, _any_size("dpi"))

# By suffix.
FORMATS = {
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".webp": WEBP,
    ".tif": TIFF,
    ".tiff": TIFF,
    ".bmp": BMP,
}
SUFFIXES = tuple(FORMATS)
# Formats that are read, but not written. Folders of them become PNG.
READ_ONLY = (".heic", ".heif", ".avif", ".jxl")
READABLE = (*SUFFIXES, *READ_ONLY)

_NAMES = {
    "profile": "the colour profile",
    "exif": "EXIF",
    "xmp": "XMP",
    "iptc": "IPTC",
    "comment": "the comment",
    "dpi": "the resolution in dpi",
    "text": "the PNG's text",
}


def kept(photograph: Photograph, form: Format) -> Metadata:
    """Return the metadata that `form` holds; the other fields are empty."""
    lost = set(_lost_fields(photograph, form))
    return dataclasses.replace(
        photograph.metadata, **{field: getattr(Metadata, field) for field in lost}
    )


def losses(photograph: Photograph, form: Format) -> list[str]:
    """Name what is in the photograph's file, but not in one of `form`."""
    names = list(photograph.left_out)
    if photograph.alpha is not None and not form.alpha:
        names.append("the alpha channel")
    if photograph.rgb.dtype.itemsize == 2 and not form.deep:
        names.append("16-bit depth")
    names += [_name(field, photograph.metadata) for field in _lost_fields(photograph, form)]
    return [name for name in names if name]


def has_one_channel(photograph: Photograph, form: Format) -> bool:
    """Return whether grey is written as one channel; a profile of RGB colours needs three."""
    return photograph.grey and form.grey and _space(photograph.metadata.profile) != b"RGB "


def _space(profile: bytes | None) -> bytes | None:
    """Return the colour space of an ICC profile."""
    return profile[16:20] if profile else None


def _lost_fields(photograph: Photograph, form: Format) -> Iterator[str]:
    for field in (*_NAMES, "colour"):
        value = getattr(photograph.metadata, field)
        if value and not _holds(photograph, form, field, value):
            yield field


def _holds(photograph: Photograph, form: Format, field: str, value: bytes | tuple) -> bool:
    if field == "profile":
        space = b"GRAY" if has_one_channel(photograph, form) else b"RGB "
        return "profile" in form.metadata and _space(value) == space
    return len(value) <= form.metadata.get(field, -1)


def _name(field: str, metadata: Metadata) -> str:
    """Name a lost field; "" for a description of colours that says what is assumed anyway."""
    if field != "colour":
        return _NAMES[field]
    kinds = [kind.decode() for kind, _ in metadata.colour]
    # Only cICP precedes a profile; sRGB is what files without a description are taken for.
    if "cICP" not in kinds and ("sRGB" in kinds or metadata.profile):
        return ""
    return f"the description of its colours ({', '.join(kinds)})"
