"""Sharp photographs to blur: the embedded ones of scikit-image, or a folder of your own.

The training and test splits share no photograph.
"""

import dataclasses
import hashlib
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from msdi_jax.data.errors import UNREADABLE, listing

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
# Share of a folder's photographs in the test split.
TEST_SHARE = 0.2

_PUBLIC_DOMAIN = "public domain"
_MIDDLEBURY = (
    "free to use and publish by permission of the Middlebury Stereo pages, which ask that "
    "Scharstein et al., 'High-resolution stereo datasets with subpixel-accurate ground truth', "
    "GCPR 2014, be cited"
)
# name: (file, author, licence), from scikit-image's documentation of its images. The training
# photographs put no condition on models trained with them.
_TRAIN = {
    "astronaut": ("astronaut.png", "NASA", _PUBLIC_DOMAIN),
    "coffee": ("coffee.png", "Rachel Michetti", "CC0"),
    "rocket": ("rocket.jpg", "SpaceX", _PUBLIC_DOMAIN),
}
_TEST = {
    "chelsea": ("chelsea.png", "Stéfan van der Walt", "CC0"),
    "stereo_motorcycle": (
        "motorcycle_left.png",
        "Nera Nesic, Porter Westling, Xi Wang, York Kitajima, Greg Krathwohl, Daniel Scharstein",
        _MIDDLEBURY,
    ),
}


@dataclasses.dataclass(frozen=True)
class Photograph:
    """A file with a sharp photograph; author and licence are empty if unknown."""

    name: str
    path: Path
    author: str = ""
    licence: str = ""

    def read(self) -> UInt8[np.ndarray, "h w 3"]:
        """Decode to RGB, turned upright by the camera's orientation tag."""
        with Image.open(self.path) as image:
            return np.array(_to_rgb(ImageOps.exif_transpose(image)))

    def size(self) -> tuple[int, int]:
        """Return height and width of the upright image, from the file's header."""
        with Image.open(self.path) as image:
            width, height = image.size
            # Orientations from 5 on swap the axes; Pillow turns TIFF files itself.
            swapped = image.format != "TIFF" and image.getexif().get(0x0112, 1) >= 5
        return (width, height) if swapped else (height, width)

    def digest(self) -> str:
        """Return the SHA-256 of the file's bytes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclasses.dataclass(frozen=True)
class Split:
    """Photographs of the two splits, each sorted by name."""

    train: tuple[Photograph, ...]
    test: tuple[Photograph, ...]


def embedded() -> Split:
    """Return three training and two test photographs from the scikit-image package.

    Raises:
        ValueError: if scikit-image or one of its files is missing.
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ValueError(
            "the embedded photographs come with scikit-image, which is not installed: "
            "install it or give a folder of photographs"
        )
    folder = Path(spec.origin).parent / "data"
    train, test = (
        tuple(
            Photograph(name, folder / file, author, licence)
            for name, (file, author, licence) in group.items()
        )
        for group in (_TRAIN, _TEST)
    )
    if missing := [str(photo.path) for photo in train + test if not photo.path.is_file()]:
        raise ValueError(
            f"scikit-image is incomplete, {', '.join(missing)} is missing: reinstall it or give a "
            "folder of photographs"
        )
    return Split(train, test)


def from_folder(folder: str | Path) -> Split:
    """Split all images below a folder by a hash of their names, at least one on each side.

    Files with the same bytes are kept on one side. The side of a photograph does not depend on
    the others, unless a side would be empty. If all images are in folders `train` and `test`,
    these are the split instead.

    Raises:
        ValueError: if the folder is missing, holds fewer than two different photographs, holds
            images that cannot be decoded (all are listed), or the same one in `train` and `test`.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: give one that holds photographs")
    paths = images_below(folder)
    _check_readable(paths)
    photographs = [Photograph(path.relative_to(folder).as_posix(), path) for path in paths]
    groups: dict[str, list[Photograph]] = {}
    for photograph in photographs:
        groups.setdefault(photograph.digest(), []).append(photograph)
    if len(groups) < 2:
        raise ValueError(
            f"{folder} holds {len(groups)} different photographs ({', '.join(SUFFIXES)}): at least "
            "2 are needed, one to train and one to test on"
        )
    if {path.relative_to(folder).parts[0] for path in paths} == {"train", "test"}:
        return _as_sorted(photographs, groups)
    # A group counts by its first name; the lowest hashes are the test split.
    ranked = sorted(groups.values(), key=lambda group: unit_hash(group[0].name))
    low = sum(unit_hash(group[0].name) < TEST_SHARE for group in ranked)
    tests = min(max(low, 1), len(ranked) - 1)
    return Split(_flatten(ranked[tests:]), _flatten(ranked[:tests]))


def _as_sorted(photographs: list[Photograph], groups: dict[str, list[Photograph]]) -> Split:
    """Split by the first folder of the names."""
    sides = {
        part: [p for p in photographs if p.name.startswith(part)] for part in ("train", "test")
    }
    for group in groups.values():
        if len({photo.name.split("/")[0] for photo in group}) > 1:
            names = " and ".join(photo.name for photo in group)
            raise ValueError(f"{names} are the same photograph: keep it on one side")
    return Split(_flatten([sides["train"]]), _flatten([sides["test"]]))


def find_photographs(source: str | Path | None = None) -> Split:
    """Return the photographs of a folder, or the embedded ones if none is given."""
    return from_folder(source) if source else embedded()


def images_below(folder: Path) -> list[Path]:
    """List the image files below a folder, sorted; follow links; empty if it is missing.

    Hidden files are left out: macOS and Jupyter create such copies of visible ones.
    """
    paths = []
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place).resolve()
        folders[:] = [
            name
            for name in folders
            # A link may lead back to a folder that contains it.
            if not name.startswith(".") and (here / name).resolve() not in (here, *here.parents)
        ]
        paths += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES)


def _flatten(groups: Iterable[list[Photograph]]) -> tuple[Photograph, ...]:
    return tuple(sorted((photo for group in groups for photo in group), key=lambda p: p.name))


def unit_hash(name: str) -> float:
    """Map a name to a number in [0, 1) that depends on nothing else, to split by."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def _check_readable(paths: Iterable[Path]) -> None:
    problems = []
    for path in paths:
        try:
            with Image.open(path) as image:
                if image.mode == "F":
                    raise OSError("its values are not integers: save it as 8 or 16 bit")
                # JPEG files then decode at an eighth of the size, which still reads all bytes.
                image.draft("RGB", (image.width // 8, image.height // 8))
                image.load()
        except UNREADABLE as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise ValueError(
            f"{len(problems)} images cannot be read, fix or remove them:\n{listing(problems)}"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit grey: Pillow's own conversion would clip at 255 instead of scaling.
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")
