"""Base of the builders of blurry/sharp pairs (data/gopro, data/pairs, …).

A builder finds its pairs. Here they are named, cut and encoded: training frames into tiles, since
a random crop of a tile is read several times faster than one of a whole frame; test frames stay
whole. Pixels are never changed: a tile equals its window of the frame bit for bit.
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
from msdi_jax.data.paired.checks import check_pairs
from msdi_jax.data.paired.pairs import Pair
from msdi_jax.data.photographs import Photograph
from msdi_jax.data.pipeline import crop_grid
from msdi_jax.data.records import PHOTOGRAPHS, encode_png, run_lengths

TILE = 512
# About 200 MB of PNG, which tfds keeps in memory: 32 training frames of 1280×720.
_PIXELS_PER_SHARD = 2**26
_TAIL = 2**16
# Increase it whenever the same files would give other records or shards.
_RECIPE = 2


@dataclasses.dataclass(eq=False)
class PairedConfig(tfds.core.BuilderConfig):
    """Configuration of a set in tfds; `for_pairs` gives equal sets equal names."""

    pairs: Mapping[str, Sequence[Pair]] = dataclasses.field(default_factory=dict, repr=False)
    tile: int = TILE
    raw: bool = False

    @classmethod
    def for_pairs(
        cls, kind: str, pairs: Mapping[str, Sequence[Pair]], tile: int = TILE, *, raw: bool = False
    ) -> "PairedConfig":
        """Name the set by a digest of its files' names, lengths and ends.

        A large set need not be read as a whole: a PNG ends with a checksum of its pixels.
        """
        # More threads than cores: they wait for the disk.
        with ThreadPoolExecutor(16) as pool:
            files = {part: list(pool.map(_identity, group)) for part, group in pairs.items()}
        identity = {"files": files, "tile": tile, "recipe": _RECIPE}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        counts = ", ".join(f"{len(group)} {part}" for part, group in pairs.items())
        return cls(
            name=f"{full_kind(kind, raw)}_{digest[:12]}",
            description=f"{kind}: {counts} pairs, training tiles of {tile} px (0: whole frames)",
            pairs=pairs,
            tile=tile,
            raw=raw,
        )


def full_kind(kind: str, raw: bool) -> str:
    """Return the kind of a configuration: the same pairs may be prepared as PNG and raw."""
    return f"{kind}-raw" if raw else kind


class PairedBuilder(shards.ShardBuilder, skip_registration=True):
    """Training frames in tiles, test frames whole; the subclass's module describes the set."""

    HOMEPAGE: str | None = None
    CITATION: str | None = None
    LICENCE: str

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.getmodule(type(self)).__doc__,
            # `name` is the pair's name, followed by _TOP_LEFT for a tile.
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
            # For data/records.py: split → size of the pairs → their number; and `PHOTOGRAPHS`.
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
        return run_lengths(
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


def prepare_pairs(
    builder: type[PairedBuilder],
    directory: str | Path,
    kind: str,
    pairs: Mapping[str, Sequence[Pair]],
    tile: int = TILE,
    *,
    raw: bool = False,
) -> Path:
    """Prepare the set below `directory`, unless it exists, and return its path.

    An interrupted call leaves no set behind; a repeated one continues where it stopped.

    Args:
        builder: of the set.
        directory: root of all prepared sets.
        kind: of the configuration, the first part of its name.
        pairs: split → its pairs.
        tile: side of the training tiles, px; 0 keeps frames whole.
        raw: store pixels uncompressed instead of as PNG.

    Raises:
        ValueError: for bad pairs, see `check_pairs`, before anything is written.
    """
    prepared = builder(
        data_dir=str(Path(directory).expanduser()),
        config=PairedConfig.for_pairs(kind, pairs, tile, raw=raw),
        file_format=shards.FORMAT,
    )
    checked = prepared.unfinished / "checked"
    if not Path(prepared.data_dir).exists() and not checked.exists():
        check_pairs(pairs)
        checked.parent.mkdir(parents=True, exist_ok=True)
        checked.touch()
    return shards.build(prepared)


def corners(height: int, width: int, tile: int) -> list[tuple[int, int]] | None:
    """Return (top, left) of tiles half a tile apart, or None for an image that stays whole."""
    if tile == 0 or min(height, width) < tile:
        return None
    return [(int(top), int(left)) for top, left in crop_grid(height, width, tile, tile // 2)]


def _identity(pair: Pair) -> list:
    return [pair.name, pair.photograph, _file_identity(pair.blurry), _file_identity(pair.sharp)]


def _file_identity(path: Path) -> list:
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
