"""Pairs to evaluate on: a prepared set of `data/`, or two plain folders."""

import hashlib
import inspect
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from msdi_jax.restoration import image_io

# Where `launch.py` prepares data sets too.
PREPARED = "prepared"


class Size(NamedTuple):
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}×{self.width}"


class Pairs(NamedTuple):
    """A source of pairs.

    Attributes:
        source: records with uint8 "sharp" and, if present, "blurry", and a "name".
        names: of the records, each once.
        sizes: of the sharp images.
        identity: the fields of `results_file.Settings` about the set.
    """

    source: Sequence[Mapping]
    names: list[str]
    sizes: list[Size]
    identity: dict[str, str]


def prepared_pairs(
    source: Sequence[Mapping], dataset: str, configuration: str, split: str
) -> Pairs:
    """The pairs of an open split of a prepared set."""
    identity = {"dataset": dataset, "configuration": configuration, "split": split}
    return Pairs(source, *names_and_sizes(source), identity)


def folder_pairs(sharp: Path, blurry: Path | None) -> Pairs:
    """The pairs of plain folders, see `FolderPairs`."""
    source = FolderPairs(sharp, blurry)
    folder = sharp.resolve()
    identity = {"dataset": f"{folder.parent.name}/{folder.name}", "configuration": "", "split": ""}
    return Pairs(source, *names_and_sizes(source), identity | {"pairs": source.digest()})


def open_prepared(name: str, directory: str | None, split: str) -> tuple[Path, Sequence[Mapping]]:
    """The directory of a set of data/NAME, and its records; a damaged one raises ValueError.

    Raises:
        ValueError: for an unknown name, for a directory of another set, and for an empty split.
    """
    # Here, so that evaluation can be imported without TensorFlow Datasets.
    from msdi_jax.data.readable import SkipDamaged
    from msdi_jax.data.records import find_builder, find_set, name_of

    builder = find_builder(name)
    path = find_set(directory, name) if directory else _prepare(name, builder)
    source = builder.open_split(path, split)
    if directory and (actual := name_of(path)) != name:
        raise ValueError(
            f"{directory} is a set {actual}, not {name}: give another name or directory"
        )
    if len(source) == 0:
        raise ValueError(f"split {split!r} of {path} is empty: choose another --split")
    return path, SkipDamaged(source)


def configuration(path: Path) -> str:
    """The configuration of a prepared set."""
    # The folders of tfds: set/configuration/version.
    return path.resolve().parent.name


def _prepare(name: str, builder) -> Path:
    try:
        inspect.signature(builder.prepare).bind(PREPARED)
    except TypeError as error:
        raise ValueError(
            f"data/{name} cannot be prepared without more arguments ({error}): prepare it, and "
            "give its directory by --data"
        ) from error
    return Path(builder.prepare(PREPARED))


class FolderPairs(Sequence):
    """Records of a folder of sharp images and, if given, one of blurry images of the same names.

    Raises:
        ValueError: for a folder without images, and for blurry images that do not match (all are
            listed).
    """

    def __init__(self, sharp: Path, blurry: Path | None = None):
        self.files = {"sharp": list_images(sharp)}
        if blurry is not None:
            names = list(self.files["sharp"])
            sizes = _sizes(self.files["sharp"].values())
            self.files["blurry"] = match_images(blurry, names, sizes)
        self.names = list(self.files["sharp"])

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        name = self.names[index]
        pictures = {kind: image_io.read(files[name]) for kind, files in self.files.items()}
        return {"name": name, **pictures}

    def digest(self) -> str:
        return digest(path for files in self.files.values() for path in files.values())


def list_images(folder: Path) -> dict[str, Path]:
    """The images below a folder by their path in it without its suffix, sorted.

    Raises:
        ValueError: when there are none, or two of one name.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: give one that holds images")
    images: dict[str, Path] = {}
    for path in image_io.below(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if (first := images.setdefault(name, path)) is not path:
            raise ValueError(f"{first} and {path} have one name: remove one")
    if not images:
        raise ValueError(f"{folder} holds no images (files in {', '.join(image_io.READABLE)})")
    return images


def match_images(folder: Path, names: Sequence[str], sizes: Sequence[Size]) -> dict[str, Path]:
    """The image of every name in a folder of exactly these images.

    Args:
        folder: with files NAME.png, or any other suffix of `image_io.READABLE`; a suffix in a
            name itself is ignored.
        names: of records.
        sizes: that the images must have.

    Raises:
        ValueError: listing every image that is missing, of another size, unreadable, or too many.
    """
    files = list_images(folder)
    problems, matched = [], {}
    for name, size in zip(names, sizes, strict=True):
        path = files.pop(_without_suffix(name), None)
        if path is None:
            problems.append(f"missing: {_without_suffix(name)}.png")
            continue
        matched[name] = path
        try:
            if (actual := Size(*image_io.read_size(path))) != size:
                problems.append(f"size: {path} is {actual} px and its sharp image {size} px")
        except ValueError as error:
            problems.append(f"unreadable: {error}")
    problems += [f"extra: {path} belongs to no image of the set" for path in files.values()]
    if problems:
        raise ValueError(
            f"{folder} does not match the {len(names)} images, nothing was scored; fix these "
            f"{len(problems)}:\n" + "\n".join(sorted(problems))
        )
    return matched


def _sizes(paths: Iterable[Path]) -> list[Size]:
    return [Size(*image_io.read_size(path)) for path in paths]


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in image_io.READABLE else name


def names_and_sizes(source: Sequence[Mapping]) -> tuple[list[str], list[Size]]:
    """The names of all records and the sizes of their sharp images, without decoding any.

    Raises:
        ValueError: when two records have one name, or one cannot be read.
    """
    if isinstance(source, FolderPairs):
        return source.names, _sizes(source.files["sharp"].values())
    if hasattr(source, "undecoded"):
        source = source.undecoded()
    names: dict[str, Size] = {}
    for index in range(len(source)):
        record = source[index]
        name = text(record, "name")
        if name in names:
            raise ValueError(f"record {index} is another one named {name!r}: make names unique")
        if record["sharp"] is None:
            raise ValueError(f"record {index} ({name}) has no picture: prepare the set again")
        names[name] = _size(record["sharp"])
    return list(names), list(names.values())


def _size(picture: bytes | Mapping | np.ndarray) -> Size:
    if isinstance(picture, Mapping):  # raw, see data/paired/builder.py
        return Size(*map(int, picture["shape"][:2]))
    if not isinstance(picture, bytes):
        return Size(*picture.shape[:2])
    with Image.open(io.BytesIO(picture)) as image:
        return Size(*image.size[::-1])


def text(record: Mapping, key: str) -> str:
    value = record.get(key, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def digest(paths: Iterable[Path]) -> str:
    """A digest of the names, lengths and contents of files.

    The end of a PNG is enough: it holds a checksum of the pixels.
    """
    total = hashlib.sha256()
    for path in paths:
        length = path.stat().st_size
        with path.open("rb") as file:
            if path.suffix.lower() == ".png":
                file.seek(max(0, length - 2**16))
            total.update(f"{path.name} {length} ".encode() + file.read())
    return total.hexdigest()[:16]
