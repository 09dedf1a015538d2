"""Blurry/sharp pairs of your own: two folders of equal file names, or a table.

    directory = prepare("~/datasets", "~/mine")  # holds blurry/ and sharp/
    directory = prepare("~/datasets", blurry="~/mine/blurry", sharp="~/elsewhere/sharp")
    directory = prepare("~/datasets", "~/mine/pairs.csv")
    train = open_split(directory, "train")

The table is a CSV file with the columns blurry and sharp, relative to its own folder, and perhaps
split (train or test). Without that column, and for folders, a fifth goes to the test split by a
hash of the names. What shows one scene stays on one side: the files of one subfolder, or the rows
of a table with the same sharp file.

Licence: that of the images.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from msdi_jax.data.errors import listing
from msdi_jax.data.paired import builder
from msdi_jax.data.paired.pairs import Pair, match
from msdi_jax.data.photographs import TEST_SHARE, unit_hash
from msdi_jax.data.records import find_prepared, open_split

__all__ = ["Builder", "from_folders", "from_table", "open_split", "prepare"]

SPLITS = ("train", "test")


class Builder(builder.PairedBuilder):
    """No scene is in both splits."""

    LICENCE = "that of the images"


def prepare(
    directory: str | Path,
    source: str | Path | None = None,
    *,
    blurry: str | Path | None = None,
    sharp: str | Path | None = None,
    tile: int = builder.TILE,
    raw: bool = False,
) -> Path:
    """Makes the set below `directory`, unless it is there already, and returns where it is.

    Args:
        directory: root of all sets; each gets its own place below.
        source: folder that holds the folders blurry/ and sharp/, or a CSV file. Without it and the
            next two, the set was prepared before, at or below `directory`.
        blurry: instead of a source, folder of the blurry images; `sharp` then holds files of the
            same names.
        sharp: folder of the sharp images.
        tile: side of the training tiles, px, one every half side. Smaller images stay whole; 0
            keeps all of them whole.
        raw: keep pixels as they are instead of as PNG: about six times the room on disc, and crops
            come four to five times as fast.

    Raises:
        ValueError: for an unusable table or bad pairs (all are listed), before anything is
            written.
    """
    kind = f"tile{tile}" if tile else "whole"
    if source is None and blurry is None and sharp is None:
        return find_prepared(directory, Builder.name, builder.named(kind, raw))
    return builder.prepare(Builder, directory, kind, _find(source, blurry, sharp), tile, raw=raw)


def _find(
    source: str | Path | None, blurry: str | Path | None, sharp: str | Path | None
) -> dict[str, list[Pair]]:
    if source is not None and blurry is None and sharp is None:
        source = Path(source).expanduser()
        if source.suffix.lower() == ".csv":
            return from_table(source)
        return from_folders(source / "blurry", source / "sharp")
    if source is None and blurry is not None and sharp is not None:
        return from_folders(Path(blurry).expanduser(), Path(sharp).expanduser())
    raise ValueError(
        f"source={source}, blurry={blurry}, sharp={sharp}: give either a source or both folders"
    )


def from_folders(blurry: Path, sharp: Path) -> dict[str, list[Pair]]:
    """Pairs of equal names below two folders, split by a hash.

    Raises:
        ValueError: when a folder is missing, both are the same, or they hold fewer than two scenes.
    """
    for folder in (blurry, sharp):
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder: give one that holds images")
    if blurry.samefile(sharp):
        raise ValueError(f"{blurry} cannot hold the blurry and the sharp images of equal names")
    return _split(
        f"{blurry} and {sharp}",
        [Pair(_plain(name), _scene(name), *files) for name, *files in match(blurry, sharp)],
    )


def from_table(table: Path) -> dict[str, list[Pair]]:
    """Pairs of a CSV file, in its order, split by its column or else by a hash.

    Raises:
        ValueError: when the table is missing, lacks a column or a split, has unusable rows (all
            are listed), or the same sharp file on both sides.
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
        # "-sig": spreadsheet programs begin their files with a byte order mark.
        text = table.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is not UTF-8 ({error}): save it as such") from error
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
    return Pair(_plain(blurry), sharp, folder / blurry, folder / sharp)


def _plain(name: str) -> str:
    # Results are written to files of this name.
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
            "needed, one to train and one to test on (a subfolder is one scene; a table with the "
            "column split divides as you like)"
        )
    # A scene's side does not depend on the others, except where one would be left empty.
    wanted = sum(unit_hash(scene) < TEST_SHARE for scene in scenes)
    tests = set(scenes[: min(max(wanted, 1), len(scenes) - 1)])
    return {
        "train": [pair for pair in pairs if pair.photograph not in tests],
        "test": [pair for pair in pairs if pair.photograph in tests],
    }
