"""What every prepared set has in common: how pictures are stored, how it is found and opened."""

import dataclasses
import importlib
import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Literal

import cv2
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

_INFO = "dataset_info.json"
# Where a set's metadata tell which photographs its training records are of.
PHOTOGRAPHS = "photographs"


@dataclasses.dataclass(frozen=True)
class Part:
    """What a split holds: records, their bytes on disc, and what they were made from.

    Attributes:
        sizes: "WIDTH×HEIGHT" of the pairs in px → how many.
    """

    records: int
    bytes: int
    sizes: Counter[str]


def encode_png(rgb: UInt8[np.ndarray, "h w 3"]) -> bytes:
    # As small as by OpenCV's own choice, give or take 5 %, and read in 0.6 of the time.
    options = [
        *(cv2.IMWRITE_PNG_COMPRESSION, 1),
        *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
        *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
    ]
    return cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def find_builder(name: str) -> ModuleType:
    """The module data.NAME.NAME_dataset_builder.

    Raises:
        ValueError: naming those there are.
    """
    known = sorted(p.parent.name for p in Path(__file__).parent.glob("*/*_dataset_builder.py"))
    if name not in known:
        raise ValueError(f"there is no data set {name!r}: choose one of {', '.join(known)}")
    return importlib.import_module(f"msdi_jax.data.{name}.{name}_dataset_builder")


def find_prepared(directory: str | Path, name: str, kind: str) -> Path:
    """The finished set at `directory` or, where it is the only one of its kind, below it.

    Args:
        directory: a set, or the root that sets were prepared in.
        name: of the builder.
        kind: how the configuration's name begins, before its digest.

    Raises:
        ValueError: when there is none, or more than one.
    """
    fitting = [path for path in _sets(directory, name) if _is_of(path, name, kind)]
    return _only(fitting, directory, f"{name} of kind {kind}")


def find_set(directory: str | Path, name: str) -> Path:
    """`find_prepared` of whatever kind."""
    return _only(_sets(directory, name), directory, name)


def _sets(directory: str | Path, name: str) -> list[Path]:
    """The set at `directory`, or those called `name` below it."""
    root = Path(directory).expanduser().absolute()
    if (root / _INFO).is_file():
        return [root]
    # tfds's folders: set/configuration/version.
    return sorted(file.parent for file in root.glob(f"{name}/*/[0-9]*/{_INFO}"))


def _only(fitting: list[Path], directory: str | Path, told: str) -> Path:
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise ValueError(f"{directory} holds no prepared set {told}: prepare it from its source")
    raise ValueError(
        f"{directory} holds {len(fitting)} sets {told}, give the directory of one: "
        + ", ".join(map(str, fitting))
    )


def _is_of(path: Path, name: str, kind: str) -> bool:
    return path.parents[1].name == name and path.parent.name.rpartition("_")[0] == kind


def describe(directory: str | Path) -> dict[str, Part]:
    """split → what it holds, of a set whose builder notes the sizes (data/paired/builder.py)."""
    info = _open(directory).info
    return {
        split: Part(found.num_examples, found.num_bytes, Counter(info.metadata[split]))
        for split, found in info.splits.items()
    }


def training_sizes(directory: str | Path) -> Counter[str]:
    """`Part.sizes` of the frames to train on; empty where the builder notes none."""
    return Counter((_open(directory).info.metadata or {}).get("train"))


def in_runs(names: Iterable[str]) -> list[tuple[str, int]]:
    """Each name with how often it comes in a row, for `PHOTOGRAPHS`."""
    return [(name, len(list(run))) for name, run in itertools.groupby(names)]


def photographs(directory: str | Path) -> list[str]:
    """Which photograph (or scene) each training record is of, without reading the records.

    Raises:
        ValueError: when there is no set at `directory`, or it is too old to tell.
    """
    runs = (_open(directory).info.metadata or {}).get(PHOTOGRAPHS)
    if runs is None:
        raise ValueError(
            f"{directory} does not tell which photographs it was made from, as sets made by "
            "earlier versions do not: delete it, and prepare it again"
        )
    return [name for name, count in runs for _ in range(count)]


def open_split(directory: str | Path, split: Literal["train", "test"]):
    """Random access to the records of a prepared set: `len(source)`, `source[index]`.

    Raises:
        ValueError: when there is no set at `directory`, it is damaged, or it lacks the split.
    """
    builder = _open(directory)
    if split not in builder.info.splits:
        raise ValueError(
            f"{directory} has no split {split!r}: choose one of {', '.join(builder.info.splits)}"
        )
    try:
        source = builder.as_data_source(split)
        len(source)
    except Exception as error:
        raise ValueError(_damaged(directory, error)) from error
    return source


def name_of(directory: str | Path) -> str:
    """Which builder made the set, by its name."""
    return _open(directory).name


def _open(directory: str | Path) -> tfds.core.DatasetBuilder:
    try:
        return tfds.builder_from_directory(Path(directory).expanduser())
    except OSError as error:
        raise ValueError(
            f"{directory} holds no data set: give the folder that `prepare` printed"
        ) from error
    # What its files are parsed by raises whatever it likes.
    except Exception as error:
        raise ValueError(_damaged(directory, error)) from error


def _damaged(directory: str | Path, error: Exception) -> str:
    return f"the data set {directory} is damaged ({error}): delete it, and prepare it again"
