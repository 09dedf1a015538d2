"""Blurry/sharp pairs of your own: folders of equal or similar file names, or a table.

    directory = prepare("~/datasets", "~/mine")  # holds blurry/ and sharp/
    directory = prepare("~/datasets", blurry="~/mine/blurry", sharp="~/elsewhere/sharp")
    directory = prepare("~/datasets", "~/mine", blurry_template="{}_b", sharp_template="{}_s")
    directory = prepare("~/datasets", "~/mine/pairs.csv")
    train = open_split(directory, "train")

The table is a CSV file with the columns blurry and sharp, relative to its own folder, and an
optional column split (train or test). Without that column, and for folders, a fifth of the scenes
is chosen for the test split by a hash of the names. A scene is one subfolder, or all rows of a
table with the same sharp file; it is never in both splits.

Licence: that of the images.
"""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from msdi_jax.data.errors import listing
from msdi_jax.data.paired import builder
from msdi_jax.data.paired.name_template import PLACE, NameTemplate
from msdi_jax.data.paired.pairs import Pair, match_files
from msdi_jax.data.photographs import TEST_SHARE, unit_hash
from msdi_jax.data.records import find_prepared, open_split

__all__ = ["Builder", "Settings", "from_folders", "from_table", "open_split", "prepare"]

SPLITS = ("train", "test")
SMALLEST_TILE = 64


class Builder(builder.PairedBuilder):
    """No scene is in both splits."""

    LICENCE = "that of the images"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Fields of the set. With neither a source nor folders, the set was prepared before.

    Attributes:
        source: folder that holds the folders blurry/ and sharp/, or a CSV file.
        blurry: instead of a source, folder of the blurry images.
        sharp: with `blurry`, folder of the sharp images of the same names; with templates, it may
            be the folder of the blurry images too.
        blurry_template: names of the blurry files without suffix, with {} for the pair's name.
        sharp_template: the same for the sharp files.
        tile: side of the training tiles, px, one every half side. Smaller images stay whole; 0
            keeps all of them whole.
        raw: store pixels uncompressed instead of as PNG. They take about six times the room on
            disk, and crops are read four to five times as fast.
    """

    source: str | Path | None = None
    blurry: str | Path | None = None
    sharp: str | Path | None = None
    blurry_template: str = PLACE
    sharp_template: str = PLACE
    tile: int = builder.TILE
    raw: bool = False

    def __post_init__(self):
        given = [path is not None for path in (self.source, self.blurry, self.sharp)]
        if given not in ([False] * 3, [True, False, False], [False, True, True]):
            raise ValueError(
                f"dataset.source={self.source}, dataset.blurry={self.blurry}, dataset.sharp="
                f"{self.sharp}: give either a source or both folders"
            )
        if self.tile < 0 or 0 < self.tile < SMALLEST_TILE:
            raise ValueError(
                f"dataset.tile={self.tile}: give at least {SMALLEST_TILE} px, or 0 to keep images "
                "whole"
            )
        NameTemplate(self.blurry_template)
        NameTemplate(self.sharp_template)
        if self.templates != (PLACE, PLACE) and str(self.source).lower().endswith(".csv"):
            raise ValueError(
                f"dataset.source={self.source} is a table, which names every file: leave out the "
                "name templates"
            )

    @property
    def templates(self) -> tuple[str, str]:
        """The templates of the blurry and the sharp names."""
        return self.blurry_template, self.sharp_template


def prepare(directory: str | Path, source: str | Path | None = None, **fields) -> Path:
    """Prepare the set below `directory`, unless it exists, and return its path.

    Args:
        directory: root of all prepared sets.
        source: folder that holds the folders blurry/ and sharp/, or a CSV file.
        **fields: the other fields of `Settings`.

    Raises:
        ValueError: for an unusable table or bad pairs (all are listed), before anything is
            written.
    """
    settings = Settings(source=source, **fields)
    kind = f"tile{settings.tile}" if settings.tile else "whole"
    if settings.source is None and settings.blurry is None:
        return find_prepared(directory, Builder.name, builder.full_kind(kind, settings.raw))
    pairs = _find_pairs(settings)
    return builder.prepare_pairs(Builder, directory, kind, pairs, settings.tile, raw=settings.raw)


def _find_pairs(settings: Settings) -> dict[str, list[Pair]]:
    if settings.source is None:
        folders = Path(settings.blurry).expanduser(), Path(settings.sharp).expanduser()
        return from_folders(*folders, *settings.templates)
    source = Path(settings.source).expanduser()
    if source.suffix.lower() == ".csv":
        return from_table(source)
    return from_folders(source / "blurry", source / "sharp", *settings.templates)


def from_folders(
    blurry: Path, sharp: Path, blurry_template: str = PLACE, sharp_template: str = PLACE
) -> dict[str, list[Pair]]:
    """Return the pairs of equal names below two folders, split by a hash.

    Args:
        blurry: folder of the blurry images.
        sharp: folder of the sharp images.
        blurry_template: see `Settings`.
        sharp_template: see `Settings`.

    Raises:
        ValueError: if a folder is missing, both and their templates are the same, names do not fit
            the templates, or there are fewer than two scenes.
    """
    for folder in (blurry, sharp):
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder: give one that holds images")
    if blurry.samefile(sharp) and blurry_template == sharp_template:
        raise ValueError(
            f"{blurry} is given for blurry and for sharp images: give two folders, or two name "
            "templates"
        )
    matched = match_files(
        blurry, sharp, blurry_template=blurry_template, sharp_template=sharp_template
    )
    pairs = [Pair(_plain(name), _scene(name), *files) for name, *files in matched]
    return _split(f"{blurry} and {sharp}", pairs)


def from_table(table: Path) -> dict[str, list[Pair]]:
    """Return the pairs of a CSV file, in its order, split by its column or else by a hash.

    Raises:
        ValueError: if the table, a column or a split is missing, for unusable rows (all are
            listed), or a sharp file in both splits.
    """
    rows = _read_rows(table)
    pairs = [_pair(table.parent, row) for row in rows]
    if "split" not in rows[0]:
        return _split(table, pairs)
    split = {
        part: [pair for pair, row in zip(pairs, rows, strict=True) if row["split"] == part]
        for part in SPLITS
    }
    if empty := [part for part in SPLITS if not split[part]]:
        raise ValueError(f"{table} has no rows with split {' or '.join(empty)}: at least 1 each")
    sharp = [{pair.photograph for pair in split[part]} for part in SPLITS]
    if both := sorted(set.intersection(*sharp)):
        raise ValueError(
            f"{table}: {len(both)} sharp files are in train and in test, keep each on one side:\n"
            + listing(both)
        )
    return split


def _read_rows(table: Path) -> list[dict[str, str]]:
    if not table.is_file():
        raise ValueError(f"{table} is not a file: give a CSV file with the columns blurry, sharp")
    try:
        # "-sig": files of spreadsheet programs begin with a byte order mark.
        text = table.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is not UTF-8 ({error}): save it as UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = reader.fieldnames or []
    if not {"blurry", "sharp"} <= set(columns):
        raise ValueError(
            f"{table} has the columns {', '.join(columns)}: blurry and sharp are needed, "
            "separated by commas"
        )
    rows = [(reader.line_num, row) for row in reader]
    if not rows:
        raise ValueError(f"{table} has no rows below its heading")
    _check_rows(table, rows)
    return [row for _, row in rows]


def _pair(folder: Path, row: Mapping[str, str]) -> Pair:
    blurry, sharp = row["blurry"], row["sharp"]
    files = (folder / Path(name).expanduser() for name in (blurry, sharp))
    return Pair(_plain(blurry), sharp, *files)


def _plain(name: str) -> str:
    # Results are written to files with this name.
    return name.strip("./").replace("/", "-")


def _check_rows(table: Path, rows: Sequence[tuple[int, Mapping[str, str]]]) -> None:
    problems: list[str] = []
    seen: dict[str, int] = {}
    for line, row in rows:
        if empty := [column for column in ("blurry", "sharp") if not row[column]]:
            problems.append(f"{table}:{line}: no {' and no '.join(empty)} file")
        elif (first := seen.setdefault(row["blurry"], line)) != line:
            problems.append(f"{table}:{line}: {row['blurry']} is in line {first} already")
        if row.get("split", "train") not in SPLITS:
            problems.append(f"{table}:{line}: split {row['split']!r} is not train or test")
    if problems:
        raise ValueError(f"{len(problems)} problems with the rows:\n{listing(problems)}")


def _scene(name: str) -> str:
    folder = PurePosixPath(name).parent.as_posix()
    return name if folder == "." else folder


def _split(source: str | Path, pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    scenes = sorted({pair.photograph for pair in pairs}, key=unit_hash)
    if len(scenes) < 2:
        raise ValueError(
            f"{len(pairs)} pairs of {len(scenes)} scenes in {source}: at least 2 scenes are "
            "needed, one to train and one to test on (a subfolder is one scene; in a table, the "
            "column split decides)"
        )
    # A scene's side does not depend on the others, unless a side would be empty.
    low = sum(unit_hash(scene) < TEST_SHARE for scene in scenes)
    tests = set(scenes[: min(max(low, 1), len(scenes) - 1)])
    return {
        "train": [pair for pair in pairs if pair.photograph not in tests],
        "test": [pair for pair in pairs if pair.photograph in tests],
    }
