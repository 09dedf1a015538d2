"""A blurry and a sharp file, and how folders of them are matched."""

import dataclasses
from pathlib import Path

from msdi_jax.data.photographs import images_below


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
        path.relative_to(folder).as_posix()
        for folder in (blurry, sharp)
        for path in images_below(folder)
    }
    return [(name, blurry / name, sharp / name) for name in sorted(names)]
