"""Blurry/sharp pairs synthesized from sharp photographs by camera shake (data/synthesis).

    directory = prepare("~/datasets")
    train = open_split(directory, "train")
    train[0]["blurry"], train[0]["sharp"]

Licence: that of the photographs. The embedded ones are in the public domain, CC0, or free to use
and publish (data/photographs.py names author and licence of each).
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from msdi_jax.data import photographs as sources
from msdi_jax.data import shards
from msdi_jax.data.errors import listing
from msdi_jax.data.records import PHOTOGRAPHS, encode_png, open_split, run_lengths
from msdi_jax.data.synthesis.camera_motion import ANCHORS, DOMAINS, Anchor, Shake, draw_shake
from msdi_jax.data.synthesis.render import render

__all__ = ["Builder", "Settings", "open_split", "plan_pairs", "prepare", "rebuild_shake"]

SMALLEST_SIDE = 256
# Largest motion, as a share of the longest side: beyond it nothing is left to restore.
LARGEST_REACH = 1 / 12
SMALLEST_REACH = 12.0
_PAIRS_PER_SHARD = 64
# Increase it whenever the synthesis changes its output.
_RECIPE = 1
_CITATION = """\
@inproceedings{scharstein2014high,
  title = {High-Resolution Stereo Datasets with Subpixel-Accurate Ground Truth},
  author = {Scharstein, Daniel and Hirschm{\\"u}ller, Heiko and Kitajima, York and Krathwohl, Greg
            and Ne{\\v{s}}i{\\'c}, Nera and Wang, Xi and Westling, Porter},
  booktitle = {German Conference on Pattern Recognition},
  year = {2014},
  note = {photograph stereo\\_motorcycle}
}
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Fields of the set; each combination of values is a set of its own.

    Attributes:
        photographs: folder of sharp photographs; None or "" for the embedded ones.
        train_pairs: number of pairs of each training photograph.
        test_pairs: number of pairs of each test photograph.
        longest_side: of the frames, px; the shorter side keeps the photograph's proportion, but
            has at least 256 px, so that the usual training crop fits.
        domain: what the exposure averages (see `draw_shake`); "both" alternates.
        anchor: the pose that sharp frames are seen from (see `draw_shake`).
        strength: median size of the motion, px. 8 suits frames of 1280×720; it blurs the small
            embedded photographs more than the pairs of real data sets are blurred.
        seed: of the whole set.
    """

    photographs: str | None = None
    train_pairs: int = 24
    test_pairs: int = 8
    longest_side: int = 384
    domain: Literal["linear", "gamma", "both"] = "linear"
    anchor: Anchor = "mean"
    strength: float = 4.0
    seed: int = 0

    def __post_init__(self):
        for field, known in (("domain", (*DOMAINS, "both")), ("anchor", ANCHORS)):
            if (value := getattr(self, field)) not in known:
                raise ValueError(
                    f"dataset.{field}={value!r} is unknown: choose one of {', '.join(known)}"
                )
        least = {"train_pairs": 1, "test_pairs": 1, "longest_side": SMALLEST_SIDE, "seed": 0}
        for field, bound in least.items():
            if (value := getattr(self, field)) < bound:
                raise ValueError(f"dataset.{field}={value} must be at least {bound}")
        if self.strength <= 0:
            raise ValueError(f"dataset.strength={self.strength:g} must be above 0, in px")


@dataclasses.dataclass(frozen=True)
class Pair:
    """Description of one record to synthesize."""

    photograph: sources.Photograph
    others: tuple[sources.Photograph, ...]
    index: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.photograph.name}_{self.index:04d}"


@dataclasses.dataclass(eq=False)
class CameraShakeConfig(tfds.core.BuilderConfig):
    """Configuration of a set in tfds; `for_settings` gives equal sets equal names."""

    settings: Settings = dataclasses.field(default_factory=Settings)
    split: sources.Split | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def for_settings(cls, settings: Settings) -> "CameraShakeConfig":
        split = sources.find_photographs(settings.photographs)
        _check_sizes(split, settings.longest_side)
        identity = dataclasses.asdict(settings) | {
            # By content: a folder may move.
            "photographs": {
                part: [(photo.name, photo.digest()) for photo in getattr(split, part)]
                for part in ("train", "test")
            },
            "recipe": _RECIPE,
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        source = "folder" if settings.photographs else "embedded"
        return cls(
            name=f"{source}_{settings.domain}_{digest[:12]}",
            description=json.dumps(dataclasses.asdict(settings)),
            settings=settings,
            split=split,
        )


class Builder(shards.ShardBuilder):
    """Splits train and test share no photograph; a record can be synthesized from its seed."""

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "blurry": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "sharp": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "name": tfds.features.Text(),
                    "photograph": tfds.features.Text(),
                    "seed": tfds.features.Scalar(np.int64),
                    "parameters": tfds.features.Text(),
                }
            ),
            supervised_keys=("blurry", "sharp"),
            citation=_CITATION,
            license="that of each photograph, see data/photographs.py",
            metadata=tfds.core.MetadataDict(),
        )

    def plan(self) -> dict[str, list[list[Pair]]]:
        settings, split = self.builder_config.settings, self.builder_config.split
        plans = {
            part: plan_pairs(getattr(split, part), part, settings) for part in ("train", "test")
        }
        self.info.metadata[PHOTOGRAPHS] = run_lengths(
            pair.photograph.name for pair in plans["train"]
        )
        return {
            part: [
                pairs[start:][:_PAIRS_PER_SHARD] for start in range(0, len(pairs), _PAIRS_PER_SHARD)
            ]
            for part, pairs in plans.items()
        }

    @functools.cached_property
    def _read(self) -> Callable[[sources.Photograph], UInt8[np.ndarray, "h w 3"]]:
        return functools.lru_cache(maxsize=8)(sources.Photograph.read)

    def make(self, split: str, item: Pair) -> list[dict]:
        settings = self.builder_config.settings
        photo = self._read(item.photograph)
        height, width = frame_size(*photo.shape[:2], settings.longest_side)
        both = settings.domain == "both"
        parameters = {
            "height": height,
            "width": width,
            "domain": DOMAINS[item.index % 2] if both else settings.domain,
            "anchor": settings.anchor,
            "strength": settings.strength,
            "reach": _reach(*photo.shape[:2], settings.longest_side),
        }
        shake = draw_shake(item.seed, **parameters)
        choice = np.random.default_rng(np.random.SeedSequence([item.seed, 2]))
        layers = [item.others[choice.integers(len(item.others))] for _ in shake.layers]
        blurry, sharp = render(photo, shake, [self._read(layer) for layer in layers])
        return [
            {
                "blurry": encode_png(blurry),
                "sharp": encode_png(sharp),
                "name": item.name,
                "photograph": item.photograph.name,
                "seed": item.seed,
                "parameters": json.dumps({"shake": parameters, "layers": [p.name for p in layers]}),
            }
        ]


def prepare(directory: str | Path, photographs: str | Path | None = None, **fields) -> Path:
    """Prepare the set below `directory`, unless it exists, and return its path.

    An interrupted call leaves no set behind; a repeated one continues where it stopped.

    Args:
        directory: root of all prepared sets.
        photographs: folder of sharp photographs; None or "" for the embedded ones.
        **fields: the other fields of `Settings`.

    Raises:
        ValueError: for bad fields or photographs, before anything is written.
    """
    source = str(Path(photographs).expanduser()) if photographs else None
    config = CameraShakeConfig.for_settings(Settings(photographs=source, **fields))
    builder = Builder(
        data_dir=str(Path(directory).expanduser()), config=config, file_format=shards.FORMAT
    )
    return shards.build(builder)


def rebuild_shake(record: Mapping) -> Shake:
    """Return the shake that blurred a record, for its `motion_field` or another exposure."""
    return draw_shake(int(record["seed"]), **json.loads(record["parameters"])["shake"])


def frame_size(height: int, width: int, longest_side: int) -> tuple[int, int]:
    """Return the frame's (height, width) for a photograph: its proportion, multiples of 8."""
    ratio = min(1.0, longest_side / max(height, width))
    return tuple(max(SMALLEST_SIDE, round(side * ratio / 8) * 8) for side in (height, width))


def plan_pairs(
    photographs: Sequence[sources.Photograph], part: Literal["train", "test"], settings: Settings
) -> list[Pair]:
    """Plan the records of a split, in order; a seed does not depend on other photographs."""
    count = settings.train_pairs if part == "train" else settings.test_pairs
    return [
        Pair(
            photograph,
            # A single photograph is its own foreground.
            tuple(other for other in photographs if other != photograph) or (photograph,),
            index,
            _seed(settings.seed, photograph.name, index),
        )
        for photograph in photographs
        for index in range(count)
    ]


def _seed(*parts: int | str) -> int:
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big")


def _reach(height: int, width: int, longest_side: int) -> float:
    """Return how far, in px, the motion may reach beyond the frame without enlarging."""
    rows, columns = frame_size(height, width, longest_side)
    return min(LARGEST_REACH * longest_side, (height - rows) / 2 - 2, (width - columns) / 2 - 2)


def _check_sizes(split: sources.Split, longest_side: int) -> None:
    small = []
    for photograph in split.train + split.test:
        height, width = photograph.size()
        if _reach(height, width, longest_side) < SMALLEST_REACH:
            small.append(f"{photograph.path}: {height}×{width}")
    if small:
        least = SMALLEST_SIDE + 2 * int(SMALLEST_REACH + 2)
        raise ValueError(
            f"{len(small)} photographs have no room for frames of up to {longest_side} px and "
            "their motion: remove them, or lower dataset.longest_side (both sides need at least "
            f"{least} px in any case):\n{listing(small)}"
        )
