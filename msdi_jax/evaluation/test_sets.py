"""Pairs to evaluate on, and the prepared sets of `data/`; for plain folders see `folders`."""

import hashlib
import inspect
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

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


def open_prepared(
    name: str, directory: Path | str | None, split: str
) -> tuple[Path, Sequence[Mapping]]:
    """The directory of a set of data/NAME, and its records; a damaged one raises ValueError.

    Raises:
        ValueError: for an unknown name, for a directory of another set, and for an empty split.
    """
    # Here, so that evaluation can be imported without TensorFlow Datasets.
    from msdi_jax.data.records import find_builder, find_set, name_of

    builder = find_builder(name)
    path = find_set(directory, name) if directory else _prepare(name, builder)
    source = _open(builder, path, split)
    if directory and (actual := name_of(path)) != name:
        raise ValueError(
            f"{directory} is a set {actual}, not {name}: give another name or directory"
        )
    return path, source


def open_configured(dataset: Mapping[str, Any], split: str) -> tuple[Path, Sequence[Mapping]]:
    """Like `open_prepared`, the set of a configuration's section `dataset`."""
    from msdi_jax.data.records import find_builder, prepare_set

    path = prepare_set(dataset)
    return path, _open(find_builder(dataset["name"]), path, split)


def _open(builder: ModuleType, path: Path, split: str) -> Sequence[Mapping]:
    from msdi_jax.data.readable import SkipDamaged

    source = builder.open_split(path, split)
    if len(source) == 0:
        raise ValueError(f"split {split!r} of {path} is empty: choose another --split")
    return SkipDamaged(source)


def configuration(path: Path) -> str:
    """The configuration of a prepared set."""
    # The folders of tfds: set/configuration/version.
    return path.resolve().parent.name


def _prepare(name: str, builder: ModuleType) -> Path:
    try:
        inspect.signature(builder.prepare).bind(PREPARED)
    except TypeError as error:
        raise ValueError(
            f"data/{name} cannot be prepared without more arguments ({error}): prepare it, and "
            "give its directory by --data"
        ) from error
    return Path(builder.prepare(PREPARED))


def names_and_sizes(source: Sequence[Mapping]) -> tuple[list[str], list[Size]]:
    """The names of all records and the sizes of their sharp images, without decoding any.

    Raises:
        ValueError: when two records have one name, or one cannot be read.
    """
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
