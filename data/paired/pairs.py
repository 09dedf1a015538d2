"""A pair of a blurry and a sharp file, and how the files of two folders are matched."""

import dataclasses
from pathlib import Path

from msdi_jax.data.photographs import images_below


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two image files of one size; all pairs of a `photograph` belong on one side of a split.

    A file may be missing: `check_pairs` reports it together with all other problems.
    """

    name: str
    photograph: str
    blurry: Path
    sharp: Path


def match_files(blurry: Path, sharp: Path) -> list[tuple[str, Path, Path]]:
    """Return (name below the folder, blurry file, sharp file) of all images in either, sorted."""
    names = {
        path.relative_to(folder).as_posix()
        for folder in (blurry, sharp)
        for path in images_below(folder)
    }
    return [(name, blurry / name, sharp / name) for name in sorted(names)]
