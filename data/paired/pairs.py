"""A pair of a blurry and a sharp file, and how the files of two folders are matched."""

import dataclasses
from pathlib import Path

from msdi_jax.data.paired.name_template import PLACE, NameTemplate, sort_files
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


def match_files(
    blurry: Path, sharp: Path, *, blurry_template: str = PLACE, sharp_template: str = PLACE
) -> list[tuple[str, Path, Path]]:
    """Return (name below the folder, blurry file, sharp file) of all images in either, sorted.

    Args:
        blurry: folder.
        sharp: folder; with templates, it may be the same one.
        blurry_template: see `NameTemplate`. Without templates, files are matched by equal names,
            and names have suffixes.
        sharp_template: see `NameTemplate`.

    Raises:
        ValueError: for an unusable template, and see `sort_files`.
    """
    if blurry_template == sharp_template == PLACE:
        return _match_equal_names(blurry, sharp)
    templates = NameTemplate(blurry_template), NameTemplate(sharp_template)
    if blurry.samefile(sharp):
        files = sort_files(blurry, images_below(blurry), *templates)
    else:
        files = [
            sort_files(folder, images_below(folder), template)[0]
            for folder, template in zip((blurry, sharp), templates, strict=True)
        ]
    return [
        (name, *_both(name, files, (blurry, sharp), templates))
        for name in sorted(files[0].keys() | files[1].keys())
    ]


def _both(name: str, files, folders, templates) -> list[Path]:
    """Return the blurry and the sharp file; a missing one has the suffix of the other."""
    suffix = next(side[name].suffix for side in files if name in side)
    return [
        side.get(name, folder / f"{template.path_of(name)}{suffix}")
        for side, folder, template in zip(files, folders, templates, strict=True)
    ]


def _match_equal_names(blurry: Path, sharp: Path) -> list[tuple[str, Path, Path]]:
    names = {
        path.relative_to(folder).as_posix()
        for folder in (blurry, sharp)
        for path in images_below(folder)
    }
    return [(name, blurry / name, sharp / name) for name in sorted(names)]
