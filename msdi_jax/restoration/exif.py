"""EXIF, the tags that a camera writes into a photograph."""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

# The number of its bytes that a JPEG has room for.
MOST_EXIF = 65_000
ORIENTATION = 0x0112
DESCRIPTIVE = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
# The turn that each orientation asks of a viewer.
UPRIGHT = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


def read_tags(path: Path) -> tuple[int, bytes | None, bytes | None]:
    """Return the orientation, the colour profile, and EXIF without the orientation."""
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
            return orientation, image.info.get("icc_profile"), without_orientation(image)
    except UnidentifiedImageError:  # some of the 16-bit TIFF that OpenCV reads
        return 1, None, None


def without_orientation(image: Image.Image) -> bytes | None:
    """Return `Photograph.exif`, and remove the orientation from `image`."""
    tags = image.getexif()
    tags.pop(ORIENTATION, None)
    try:
        if image.format == "TIFF":
            tags = _descriptive(tags)
        exif = tags.tobytes() if tags else None
    # Pillow raises many kinds for tags that it cannot write; the photograph is worth more.
    except Exception:
        return None
    return exif if exif and len(exif) <= MOST_EXIF else None


def _descriptive(tags: Image.Exif) -> Image.Exif:
    """Drop the tags that say where the pixels of a TIFF are in its file."""
    kept = Image.Exif()
    kept.update({tag: tags[tag] for tag in DESCRIPTIVE if tag in tags})
    kept.update({tag: part for tag in ExifTags.IFD if (part := tags.get_ifd(tag))})
    return kept
