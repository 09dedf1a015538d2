"""What the builders of ready-made blurry/sharp pairs share (data/gopro, data/pairs).

A builder finds its pairs. Here they are checked, named, cut and encoded: training frames into
tiles, which a random crop decodes several times faster than a whole frame; test frames stay whole.
Pixels are never changed: a tile equals its window of the frame bit for bit.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from data.photographs import SUFFIXES, Photograph
from data.pipeline import crop_grid
from data.records import encode_png

TILE = 512
SMALLEST_TILE = 64
# About 200 MB of PNG, which tfds holds in memory: 32 training frames of 1280×720.
_PIXELS_PER_SHARD = 2**26
_TAIL = 2**16
# Counts up whenever the same files would give other records: older sets are made anew.
_RECIPE = 1


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two images of one size; all pairs of a `photograph` belong on one side of a split.

    A file may be missing: then `check` says so, beside everything else that is wrong.
    """

    name: str
    photograph: str
    blurry: Path
    sharp: Path


@dataclasses.dataclass(eq=False)
class PairedConfig(tfds.core.BuilderConfig):
    """tfds's handle of a set; `for_pairs` names it so that equal sets have equal names."""

    pairs: Mapping[str, Sequence[Pair]] = dataclasses.field(default_factory=dict, repr=False)
    tile: int = TILE

    @classmethod
    def for_pairs(
        cls, prefix: str, pairs: Mapping[str, Sequence[Pair]], tile: int = TILE
    ) -> "PairedConfig":
        """Files count by name, length and ending, so that a large set need not be read through.

        A PNG ends with a checksum of its pixels: a changed one is noticed.
        """
        if tile < 0 or 0 < tile < SMALLEST_TILE:
            raise ValueError(
                f"tile={tile}: give at least {SMALLEST_TILE} px, or 0 to keep frames whole"
            )
        # Waiting for the disc, not computing.
        with ThreadPoolExecutor(16) as pool:
            files = {part: list(pool.map(_describe, group)) for part, group in pairs.items()}
        described = {"files": files, "tile": tile, "recipe": _RECIPE}
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        counts = ", ".join(f"{len(group)} {part}" for part, group in pairs.items())
        return cls(
            name=f"{prefix}_{digest[:12]}",
            description=f"{prefix}: {counts} pairs, training tiles of {tile} px (0: whole frames)",
            pairs=pairs,
            tile=tile,
        )


def features() -> tfds.features.FeaturesDict:
    """Of a record; `name` is the pair's, followed by _top_left for a tile."""
    return tfds.features.FeaturesDict(
        {
            "blurry": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "sharp": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "name": tfds.features.Text(),
            "photograph": tfds.features.Text(),
        }
    )


def match(blurry: Path, sharp: Path) -> list[tuple[str, Path, Path]]:
    """(name below the folder, blurry file, sharp file) of every image in either folder, sorted."""
    names = {
        path.relative_to(folder).as_posix()
        for folder in (blurry, sharp)
        for path in folder.rglob("*")
        # macOS leaves "._NAME.png" beside what it copies.
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    }
    return [(name, blurry / name, sharp / name) for name in sorted(names)]


def prepare(
    builder: type[tfds.core.ShardBasedBuilder], directory: str | Path, config: PairedConfig
) -> Path:
    """Makes the set below `directory`, unless it is there already, and returns where it is.

    A set is written beside its place and moved there when complete, so an interrupted run leaves
    nothing that could be taken for a set.

    Raises:
        ValueError: for bad pairs, see `check`, before anything is written.
    """
    made = builder(
        data_dir=str(Path(directory).expanduser()), config=config, file_format="array_record"
    )
    if not Path(made.data_dir).exists():
        check([pair for group in config.pairs.values() for pair in group])
        made.download_and_prepare()
    return Path(made.data_dir)


def check(pairs: Sequence[Pair]) -> None:
    """Reads every file, so that all faults show at once and not one by one while the set is made.

    Raises:
        ValueError: naming every file that is missing, unreadable or not 8-bit RGB, and every pair
            of unequal sizes.
    """
    progress = tqdm(total=len(pairs), desc="checking", unit="pair")
    problems: dict[str, None] = {}
    with progress, _workers() as pool:
        for found in pool.map(_problems, pairs):
            progress.update()
            problems.update(dict.fromkeys(found))
    if problems:
        raise ValueError(
            f"{len(problems)} problems with the pairs, mend or remove them:\n" + "\n".join(problems)
        )


def shards(
    config: PairedConfig, description: str
) -> dict[str, list[Callable[[], Iterator[tuple[str, dict]]]]]:
    """What `_shard_iterators_per_split` returns: a split without pairs is left out."""
    progress = tqdm(total=sum(map(len, config.pairs.values())), desc=description, unit="pair")
    tiles = {part: config.tile if part == "train" else 0 for part in config.pairs}
    return {
        part: [
            functools.partial(_make_shard, group, tiles[part], progress)
            for group in _group(pairs, tiles[part])
        ]
        for part, pairs in config.pairs.items()
        if pairs
    }


def corners(height: int, width: int, tile: int) -> list[tuple[int, int]] | None:
    """(top, left) of the tiles, half a tile apart, or None for an image that stays whole."""
    if tile == 0 or min(height, width) < tile:
        return None
    return [(int(top), int(left)) for top, left in crop_grid(height, width, tile, tile // 2)]


def _describe(pair: Pair) -> list:
    return [pair.name, pair.photograph, _mark(pair.blurry), _mark(pair.sharp)]


def _mark(path: Path) -> list:
    if not path.is_file():
        return []
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _TAIL))
        return [length, hashlib.sha256(file.read()).hexdigest()]


def _problems(pair: Pair) -> list[str]:
    partners = ((pair.blurry, pair.sharp), (pair.sharp, pair.blurry))
    if missing := [(path, other) for path, other in partners if not path.is_file()]:
        return [f"{path}: missing, the partner of {other}" for path, other in missing]
    if faults := [fault for path, _ in partners if (fault := _fault(path))]:
        return faults
    (height, width), sharp = (Photograph(pair.name, path).size() for path, _ in partners)
    if (height, width) != sharp:
        return [
            f"{pair.blurry}: {height}×{width} px, but {pair.sharp}: {sharp[0]}×{sharp[1]} px: "
            "pairs must have equal sizes"
        ]
    return []


def _fault(path: Path) -> str | None:
    try:
        with Image.open(path) as image:
            # Pillow calls 16-bit colour RGB too and drops the lower byte; only the tiles tell.
            deep = any(";16" in str(tile[3]) for tile in image.tile)
            if image.mode != "RGB" or deep:
                kind = "16 bits per channel" if deep else f"mode {image.mode}"
                return f"{path}: {kind}, but 8-bit RGB is needed"
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"{path}: {error}"
    return None


def _group(pairs: Iterable[Pair], tile: int) -> list[list[Pair]]:
    groups: list[list[Pair]] = []
    room = 0
    for pair in pairs:
        if room <= 0:
            groups.append([])
            room = _PIXELS_PER_SHARD
        groups[-1].append(pair)
        height, width = Photograph(pair.name, pair.sharp).size()
        tiles = corners(height, width, tile)
        room -= height * width if tiles is None else len(tiles) * tile**2
    return groups


def _make_shard(pairs: Sequence[Pair], tile: int, progress: tqdm) -> Iterator[tuple[str, dict]]:
    with _workers() as pool:
        for records in pool.map(functools.partial(_make, tile=tile), pairs):
            progress.update()
            for record in records:
                yield record["name"], record


@contextlib.contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    # Pairs in parallel, one thread each: OpenCV's own threads would only get in their way.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)


def _make(pair: Pair, tile: int) -> list[dict]:
    blurry, sharp = (Photograph(pair.name, path).read() for path in (pair.blurry, pair.sharp))
    tiles = corners(*sharp.shape[:2], tile)
    if tiles is None:
        return [_record(pair, pair.name, blurry, sharp)]
    return [
        _record(pair, f"{pair.name}_{top:04d}_{left:04d}", blurry[window], sharp[window])
        for top, left in tiles
        for window in [np.s_[top : top + tile, left : left + tile]]
    ]


def _record(
    pair: Pair, name: str, blurry: UInt8[np.ndarray, "h w 3"], sharp: UInt8[np.ndarray, "h w 3"]
) -> dict:
    return {
        "blurry": encode_png(blurry),
        "sharp": encode_png(sharp),
        "name": name,
        "photograph": pair.photograph,
    }
