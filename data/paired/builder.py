"""What the builders of ready-made blurry/sharp pairs share (data/gopro, data/pairs, …).

A builder finds its pairs. Here they are named, cut and encoded: training frames into tiles, which
a random crop decodes several times faster than a whole frame; test frames stay whole. Pixels are
never changed: a tile equals its window of the frame bit for bit.
"""

import dataclasses
import hashlib
import inspect
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from msdi_jax.data import shards
from msdi_jax.data.paired.checks import check
from msdi_jax.data.paired.pairs import Pair
from msdi_jax.data.photographs import Photograph
from msdi_jax.data.pipeline import crop_grid
from msdi_jax.data.records import PHOTOGRAPHS, encode_png, in_runs

TILE = 512
SMALLEST_TILE = 64
# About 200 MB of PNG, which tfds holds in memory: 32 training frames of 1280×720.
_PIXELS_PER_SHARD = 2**26
_TAIL = 2**16
# Counts up whenever the same files would give other records or shards: older sets are made anew.
_RECIPE = 2


@dataclasses.dataclass(eq=False)
class PairedConfig(tfds.core.BuilderConfig):
    """tfds's handle of a set; `for_pairs` names it so that equal sets have equal names."""

    pairs: Mapping[str, Sequence[Pair]] = dataclasses.field(default_factory=dict, repr=False)
    tile: int = TILE
    raw: bool = False

    @classmethod
    def for_pairs(
        cls, kind: str, pairs: Mapping[str, Sequence[Pair]], tile: int = TILE, *, raw: bool = False
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
            name=f"{named(kind, raw)}_{digest[:12]}",
            description=f"{kind}: {counts} pairs, training tiles of {tile} px (0: whole frames)",
            pairs=pairs,
            tile=tile,
            raw=raw,
        )


def named(kind: str, raw: bool) -> str:
    """How the name of a configuration begins: a set is there as PNG, raw, or both."""
    return f"{kind}-raw" if raw else kind


class PairedBuilder(shards.ShardBuilder, skip_registration=True):
    """Training frames in tiles, test frames whole. A subclass's module says what the set is."""

    HOMEPAGE: str | None = None
    CITATION: str | None = None
    LICENCE: str

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.getmodule(type(self)).__doc__,
            # `name` is the pair's, followed by _top_left for a tile.
            features=tfds.features.FeaturesDict(
                {
                    "blurry": self._image(),
                    "sharp": self._image(),
                    "name": tfds.features.Text(),
                    "photograph": tfds.features.Text(),
                }
            ),
            supervised_keys=("blurry", "sharp"),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            license=self.LICENCE,
            # For data/records.py: split → size of the pairs → how many; and `PHOTOGRAPHS`.
            metadata=tfds.core.MetadataDict(),
        )

    def _image(self) -> tfds.features.FeatureConnector:
        if self.builder_config.raw:
            return tfds.features.Tensor(shape=(None, None, 3), dtype=np.uint8, encoding="bytes")
        return tfds.features.Image(shape=(None, None, 3), encoding_format="png")

    def plan(self) -> dict[str, list[list[Pair]]]:
        plan = {}
        for split, pairs in self.builder_config.pairs.items():
            sizes = [Photograph(pair.name, pair.sharp).size() for pair in pairs]
            self.info.metadata[split] = Counter(f"{width}×{height}" for height, width in sizes)
            plan[split] = _group(pairs, sizes, self._tile(split))
            if split == "train":
                self.info.metadata[PHOTOGRAPHS] = self._photographs(pairs, sizes)
        return plan

    def _photographs(
        self, pairs: Sequence[Pair], sizes: Sequence[tuple[int, int]]
    ) -> list[tuple[str, int]]:
        return in_runs(
            pair.photograph
            for pair, size in zip(pairs, sizes, strict=True)
            for _ in corners(*size, self.builder_config.tile) or ["the whole frame"]
        )

    def make(self, split: str, item: Pair) -> list[dict]:
        blurry, sharp = (Photograph(item.name, path).read() for path in (item.blurry, item.sharp))
        tile = self._tile(split)
        tiles = corners(*sharp.shape[:2], tile)
        if tiles is None:
            return [self._record(item, item.name, blurry, sharp)]
        return [
            self._record(item, f"{item.name}_{top:04d}_{left:04d}", blurry[window], sharp[window])
            for top, left in tiles
            for window in [np.s_[top : top + tile, left : left + tile]]
        ]

    def _tile(self, split: str) -> int:
        return self.builder_config.tile if split == "train" else 0

    def _record(
        self,
        pair: Pair,
        name: str,
        blurry: UInt8[np.ndarray, "h w 3"],
        sharp: UInt8[np.ndarray, "h w 3"],
    ) -> dict:
        encode = np.ascontiguousarray if self.builder_config.raw else encode_png
        return {
            "blurry": encode(blurry),
            "sharp": encode(sharp),
            "name": name,
            "photograph": pair.photograph,
        }


def prepare(
    builder: type[PairedBuilder],
    directory: str | Path,
    kind: str,
    pairs: Mapping[str, Sequence[Pair]],
    tile: int = TILE,
    *,
    raw: bool = False,
) -> Path:
    """Makes the set below `directory`, unless it is there already, and returns where it is.

    An interrupted run leaves nothing that could be taken for a set; repeated, it goes on.

    Args:
        builder: of the set.
        directory: root of all sets.
        kind: how the configuration's name begins.
        pairs: split → its pairs.
        tile: side of the training tiles, px; 0 keeps frames whole.
        raw: keep pixels as they are instead of as PNG.

    Raises:
        ValueError: for bad pairs, see `check`, before anything is written.
    """
    made = builder(
        data_dir=str(Path(directory).expanduser()),
        config=PairedConfig.for_pairs(kind, pairs, tile, raw=raw),
        file_format=shards.FORMAT,
    )
    checked = made.unfinished / "checked"
    if not Path(made.data_dir).exists() and not checked.exists():
        check(pairs)
        checked.parent.mkdir(parents=True, exist_ok=True)
        checked.touch()
    return shards.build(made)


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
        # A PNG ends with a checksum of its pixels.
        file.seek(max(0, length - _TAIL) if path.suffix.lower() == ".png" else 0)
        return [length, hashlib.sha256(file.read()).hexdigest()]


def _group(pairs: Sequence[Pair], sizes: Iterable[tuple[int, int]], tile: int) -> list[list[Pair]]:
    groups: list[list[Pair]] = []
    room = 0
    for pair, (height, width) in zip(pairs, sizes, strict=True):
        if room <= 0:
            groups.append([])
            room = _PIXELS_PER_SHARD
        groups[-1].append(pair)
        tiles = corners(height, width, tile)
        room -= height * width if tiles is None else len(tiles) * tile**2
    return groups
