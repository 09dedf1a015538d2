"""A blurry and a sharp file, and how folders of them are matched."""

import dataclasses
from pathlib import Path

from data.photographs import SUFFIXES


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two images of one size; all pairs of a `photograph` belong on one side of a split.

    A file may be missing: then `check` says so, beside everything else that is wrong.
    """

    name: str
    photograph: str
    blurry: Path
    sharp: Path


def match(blurry: Path, sharp: Path) -> list[tuple[str, Path, Path]]:
    """(name below the folder, blurry file, sharp file) of every image in either folder, sorted."""
    names = {
        path.relative_to(folder).as_posix() for folder in (blurry, sharp) for path in images(folder)
    }
    return [(name, blurry / name, sharp / name) for name in sorted(names)]


def images(folder: Path) -> list[Path]:
    """The image files below a folder, sorted; none where it is missing."""
    return sorted(
        path
        for path in folder.rglob("*")
        # macOS leaves "._NAME.png" beside what it copies.
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
