"""Photographs in and out of files: 8 and 16 bit, colour and grey, with and without alpha."""

import contextlib
import dataclasses
import io
import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import tifffile
from jaxtyping import Float, UInt8
from PIL import Image, ImageCms, ImageOps

from msdi_jax.restoration.exif import UPRIGHT, read_tags, without_orientation
from msdi_jax.runtime.atomic_write import atomic_write

# Telephones take photographs of 200 megapixels, which Pillow would refuse; it does so from twice
# this number on.
Image.MAX_IMAGE_PIXELS = 250 * 10**6
# What Pillow and OpenCV raise for files that are no whole images; SyntaxError is of broken PNG.
UNREADABLE = (OSError, SyntaxError, TypeError, Image.DecompressionBombError, cv2.error)
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
HOLD_16_BIT = (".png", ".tif", ".tiff")
HOLD_PROFILE = tuple(suffix for suffix in SUFFIXES if suffix != ".bmp")
HOLD_EXIF = (".png", ".jpg", ".jpeg", ".webp")
HOLD_ALPHA = (".png", ".webp", ".tif", ".tiff")
# How TIFF and BigTIFF begin, of either byte order.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHER_COLOURS = ("CMYK", "LAB", "HSV")


def below(folder: Path) -> list[Path]:
    """The image files below a folder, sorted, also where links lead, but none that is hidden.

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
    return sorted(path for path in files_below if path.suffix.lower() in SUFFIXES)


@dataclasses.dataclass(frozen=True)
class Photograph:
    """Pixels and metadata of an image file.

    Attributes:
        rgb: (h, w, 3), uint8 or uint16; grey is repeated.
        alpha: (h, w) of the same type, or None.
        grey: whether the file had one colour channel (in 16 bit: whether no pixel has a colour, nor
            the file a profile of colours).
        profile: ICC colour profile, or None.
        exif: the tags of the camera without orientation and thumbnail, or None.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    profile: bytes | None = None
    exif: bytes | None = None

    def unit(self) -> Float[np.ndarray, "h w 3"]:
        return to_unit(self.rgb)

    def restored(self, unit: Float[np.ndarray, "h w 3"]) -> "Photograph":
        """The same photograph with other colours, given in [0, 1]."""
        quantise = to_uint16 if self.rgb.dtype == np.uint16 else to_uint8
        return dataclasses.replace(self, rgb=quantise(unit))


def read_photograph(path: Path | str) -> Photograph:
    """An image file, turned upright by its EXIF orientation.

    Raises:
        ValueError: naming the file, when it is missing, no image, an animation, of more than 16
            bits, or a TIFF of several pages or whose pixels would be taken for others.
    """
    path = Path(path)
    try:
        start = _start_of(path)
        if start.startswith(_TIFF):
            _check_tiff(path)
        if start.startswith(_TIFF) or (start.startswith(b"\x89PNG") and start[24:] == b"\x10"):
            # Pillow silently halves the bits of 16-bit colour, so OpenCV reads these files.
            channels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
            if channels is not None and channels.dtype == np.uint16:
                return _from_opencv(path, channels)
        with Image.open(path) as image:
            return _from_pillow(path, image)
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist: give the path of an image file") from error
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error


def read(path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    """`read_photograph` as 8-bit RGB."""
    rgb = read_photograph(path).rgb
    return rgb if rgb.dtype == np.uint8 else to_uint8(to_unit(rgb))


def _start_of(path: Path) -> bytes:
    """The first bytes; those of a PNG end with its bit depth."""
    with path.open("rb") as file:
        return file.read(25)


def _check_tiff(path: Path) -> None:
    """Raise ValueError for a TIFF that OpenCV or Pillow would misread."""
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            # Small versions and masks of the same are no pages of their own.
            pages = sum(not (one.is_reduced or one.is_mask) for one in file.pages)
    # The readers report a damaged file, or one that is no TIFF.
    except Exception:
        return
    deep, planes = page.bitspersample > 8, page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    odd = {
        "a small picture of the photograph first, as raw files of cameras have": page.is_reduced,
        "its colours in planes of their own": deep and planes and page.samplesperpixel > 1,
        "0 for white": deep and page.photometric == tifffile.PHOTOMETRIC.MINISWHITE,
        "colours multiplied by alpha": deep
        and tifffile.EXTRASAMPLE.ASSOCALPHA in page.extrasamples,
    }
    for feature in [feature for feature, present in odd.items() if present]:
        raise ValueError(f"{path} has {feature}, which cannot be read: save it as a PNG")
    if page.dtype not in (None, bool, np.uint8, np.uint16):
        raise ValueError(f"{path} has values of type {page.dtype}: save it as 8 or 16 bit")
    if pages > 1:
        raise ValueError(f"{path} has {pages} pages: save each as a picture of its own")


def _from_opencv(path: Path, channels: np.ndarray) -> Photograph:
    orientation, profile, exif = read_tags(path)
    # OpenCV turns TIFF upright itself.
    if path.suffix.lower() == ".png" and orientation in UPRIGHT:
        channels = UPRIGHT[orientation](channels)
    channels = np.atleast_3d(channels)
    colours, alpha = channels, None
    if channels.shape[2] == 4:
        colours, alpha = channels[..., :3], np.ascontiguousarray(channels[..., 3])
    # OpenCV makes grey with alpha colour. A profile of colours is not one of grey.
    coloured = profile is not None and profile[16:20] != b"GRAY"
    grey = not coloured and bool(np.ptp(colours, axis=2).max() == 0)
    rgb = colours.repeat(3, axis=2) if colours.shape[2] == 1 else colours[..., ::-1]
    return Photograph(np.ascontiguousarray(rgb), alpha, grey, profile, exif)


def _from_pillow(path: Path, image: Image.Image) -> Photograph:
    if image.mode in ("F", "I"):
        raise ValueError(f"{path} has more than 16 bits per value: save it as 8 or 16 bit")
    # Other formats hold further pictures of the same.
    if image.format in ("GIF", "WEBP", "PNG") and image.is_animated:
        raise ValueError(
            f"{path} is an animation: save the picture to restore as a file of its own"
        )
    # Of colours that are no longer those of the file, it is not the profile.
    profile = image.info.get("icc_profile") if image.mode not in _OTHER_COLOURS else None
    # In this order: `without_orientation` removes the tag that the first one needs.
    image, exif = ImageOps.exif_transpose(image), without_orientation(image)
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
        return Photograph(np.stack([values] * 3, axis=-1), None, True, profile, exif)
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        rgb, alpha = np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
        return Photograph(rgb, alpha, grey, profile, exif)
    return Photograph(np.asarray(_in_rgb(image)), None, grey, profile, exif)


def _in_rgb(image: Image.Image) -> Image.Image:
    """Colours of print by their own profile, if they have one."""
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK" and profile:
        with contextlib.suppress(ImageCms.PyCMSError):
            own, srgb = io.BytesIO(profile), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
    return image.convert("RGB")


def check_writable(path: Path | str) -> None:
    """Refuses a target that could not be written, before the work is done.

    Raises:
        ValueError: for an unknown suffix, a folder of that name, or one to write to that is missing
            or not to be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the file to write")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: the name must end in one of {', '.join(SUFFIXES)}")
    check_folder_of(path)


def check_folder_of(path: Path) -> None:
    """Raises ValueError where nothing can be written at `path`."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{path}: the folder {folder} does not exist, make it")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{path}: the folder {folder} cannot be written to, choose another")


def write(path: Path | str, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write an image, whole or not at all, in the format of the suffix."""
    write_photograph(path, Photograph(image))


def write_photograph(path: Path | str, photograph: Photograph) -> None:
    """Write what the format can hold; alpha, 16 bits and metadata are dropped where it cannot."""
    path = Path(path)
    check_writable(path)
    channels = _channels(photograph, path.suffix.lower())
    with atomic_write(path) as temporary:
        if channels.dtype == np.uint16:
            temporary.write_bytes(_encode_16_bit(path.suffix, channels, photograph))
        else:
            options = {"icc_profile": photograph.profile} if photograph.profile else {}
            if photograph.exif and path.suffix.lower() in HOLD_EXIF:
                options["exif"] = photograph.exif
            if path.suffix.lower() == ".png":
                # Runs as the only matches: a fifth of the time, photographs are of the same size
                # within 5 %; flat graphics become several times as large.
                options |= {"compress_level": 1, "compress_type": zlib.Z_RLE}
            Image.fromarray(channels).save(temporary, quality=95, **options)


def _channels(photograph: Photograph, suffix: str) -> np.ndarray:
    """(h, w) or (h, w, channels) as they are to be written."""
    deep = suffix in HOLD_16_BIT
    rgb = photograph.rgb if deep else _to_8_bit(photograph.rgb)
    if photograph.grey:
        grey = np.round(rgb.mean(axis=-1)).astype(rgb.dtype)
        rgb = grey[..., None]
    if photograph.alpha is not None and suffix in HOLD_ALPHA:
        alpha = photograph.alpha if deep else _to_8_bit(photograph.alpha)
        # Neither OpenCV nor WebP knows grey with alpha.
        if rgb.shape[2] == 1 and (rgb.dtype == np.uint16 or suffix == ".webp"):
            rgb = rgb.repeat(3, axis=2)
        rgb = np.concatenate([rgb, alpha[..., None]], axis=-1)
    return rgb[..., 0] if rgb.shape[2] == 1 else rgb


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    return values if values.dtype == np.uint8 else to_uint8(to_unit(values))


def _encode_16_bit(suffix: str, channels: np.ndarray, photograph: Photograph) -> bytes:
    """Encode with OpenCV or tifffile, since Pillow has no 16-bit colour."""
    if suffix.lower() != ".png":
        return _encode_tiff(channels, photograph.profile)
    if channels.ndim == 3:
        order = [2, 1, 0, 3][: channels.shape[2]]
        channels = np.ascontiguousarray(channels[..., order])
    tags = {cv2.IMAGE_METADATA_ICCP: photograph.profile, cv2.IMAGE_METADATA_EXIF: photograph.exif}
    tags = {kind: np.frombuffer(tag, np.uint8) for kind, tag in tags.items() if tag}
    encoded = cv2.imencodeWithMetadata(suffix, channels, list(tags), list(tags.values()))[1]
    return encoded.tobytes()


def _encode_tiff(channels: np.ndarray, profile: bytes | None) -> bytes:
    file = io.BytesIO()
    colours = channels.ndim == 3
    tifffile.imwrite(
        file,
        channels,
        photometric="rgb" if colours else "minisblack",
        extrasamples=["unassalpha"] if colours and channels.shape[2] == 4 else None,
        compression="zlib",
        iccprofile=profile,
        metadata=None,
    )
    return file.getvalue()


def to_uint8(image: np.ndarray) -> UInt8[np.ndarray, "*shape"]:
    """[0, 1] → [0, 255], clipped and rounded, as the published evaluation does."""
    return np.round(np.clip(np.asarray(image), 0, 1) * 255).astype(np.uint8)


def to_uint16(image: np.ndarray) -> np.ndarray:
    """[0, 1] → [0, 65535], clipped and rounded."""
    return np.round(np.clip(np.asarray(image), 0, 1) * 65535).astype(np.uint16)


def to_unit(image: np.ndarray) -> np.ndarray:
    """uint8 or uint16 → [0, 1]."""
    return image.astype(np.float32) / np.iinfo(image.dtype).max
