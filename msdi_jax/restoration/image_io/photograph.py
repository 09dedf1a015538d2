"""A photograph in memory: its pixels, and what its file states about them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

Chunk = tuple[bytes, bytes]


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a file holds besides pixels; each format keeps some of it, see `formats.FORMATS`.

    Attributes:
        profile: ICC profile of RGB or grey colours.
        exif: beginning with "Exif", without orientation and thumbnail.
        xmp: an XMP packet.
        iptc: IPTC-IIM records.
        comment: of a JPEG.
        dpi: pixels per inch along x and y.
        text: the text chunks of a PNG.
        colour: the chunks of a PNG that describe its colours, besides the profile.
        sampling: chroma subsampling of a JPEG as Pillow numbers it: 0 is 4:4:4, 2 is 4:2:0.
        lossless: whether the source was compressed without loss.
    """

    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[Chunk, ...] = ()
    colour: tuple[Chunk, ...] = ()
    sampling: int = 0
    lossless: bool = False


@dataclasses.dataclass(frozen=True)
class Photograph:
    """Pixels and metadata of an image file.

    Attributes:
        rgb: (h, w, 3), uint8 or uint16; grey is repeated.
        alpha: (h, w) of the same type, or None. Colours are not multiplied by it.
        grey: whether the file has one colour channel.
        metadata: to be written with the pixels.
        left_out: names of what reading could not keep.
        warnings: to be printed.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    grey: bool = False
    metadata: Metadata = Metadata()
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def unit(self) -> Float[np.ndarray, "h w 3"]:
        """Return the colours in [0, 1]; visible ones continue under fully transparent pixels."""
        return to_unit(_continued(self.rgb, self._hidden()))

    def restored(self, unit: Float[np.ndarray, "h w 3"]) -> "Photograph":
        """Return the photograph with other visible colours, given in [0, 1]."""
        rgb = (to_uint16 if self.rgb.dtype == np.uint16 else to_uint8)(unit)
        hidden = self._hidden()
        if hidden is not None:
            rgb[hidden] = self.rgb[hidden]
        return dataclasses.replace(self, rgb=rgb)

    def _hidden(self) -> np.ndarray | None:
        """Return which pixels are fully transparent, if any are."""
        if self.alpha is None or self.alpha.all():
            return None
        return self.alpha == 0


def from_channels(
    channels: np.ndarray,
    metadata: Metadata,
    left_out: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Photograph:
    """Return a photograph of (h, w, 1 to 4) channels: grey or RGB, in even numbers with alpha."""
    count = channels.shape[2]
    alpha = np.ascontiguousarray(channels[..., -1]) if count % 2 == 0 else None
    rgb = channels[..., :3] if count > 2 else channels[..., :1].repeat(3, axis=2)
    if metadata.profile and metadata.profile[16:20] not in (b"RGB ", b"GRAY"):
        metadata = dataclasses.replace(metadata, profile=None)
        left_out = (*left_out, "a profile of other colours")
    rgb = np.ascontiguousarray(rgb)
    return Photograph(rgb, alpha, count < 3, metadata, tuple(left_out), tuple(warnings))


def _continued(rgb: np.ndarray, hidden: np.ndarray | None) -> np.ndarray:
    """Give hidden pixels the colour of the nearest visible one: networks see the neighbourhood."""
    if hidden is None or hidden.all():
        return rgb
    nearest = ndimage.distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return rgb[tuple(nearest)]


def to_uint8(image: np.ndarray) -> UInt8[np.ndarray, "*shape"]:
    """Map [0, 1] to [0, 255], clipped and rounded, as the published evaluation does."""
    return np.round(np.clip(np.asarray(image), 0, 1) * 255).astype(np.uint8)


def to_uint16(image: np.ndarray) -> np.ndarray:
    """Map [0, 1] to [0, 65535], clipped and rounded."""
    return np.round(np.clip(np.asarray(image), 0, 1) * 65535).astype(np.uint16)


def to_unit(image: np.ndarray) -> np.ndarray:
    """Map uint8 or uint16 to [0, 1]."""
    return image.astype(np.float32) / np.iinfo(image.dtype).max


def to_8_bit(values: np.ndarray) -> np.ndarray:
    """Return uint8 or uint16 values as uint8."""
    return values if values.dtype == np.uint8 else to_uint8(to_unit(values))
