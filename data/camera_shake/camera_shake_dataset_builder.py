"""Blurry/sharp pairs made from sharp photographs by synthetic camera shake (data/synthesis).

    directory = prepare("~/datasets")
    train = open_split(directory, "train")
    train[0]["blurry"], train[0]["sharp"]

Licence: the pairs follow their photographs. The embedded ones are in the public domain, CC0, or
free to use and publish (data/photographs.py names author and licence of each); for a folder of
your own they are yours.
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
from msdi_jax.data.records import PHOTOGRAPHS, encode_png, in_runs, open_split
from msdi_jax.data.synthesis.camera_motion import ANCHORS, DOMAINS, Anchor, Shake, draw_shake
from msdi_jax.data.synthesis.render import render

__all__ = ["Builder", "open_split", "plan", "prepare", "rebuild_shake"]

SMALLEST_SIDE = 256
# Stronger motions, as a share of the longest side, leave nothing to restore.
LARGEST_REACH = 1 / 12
SMALLEST_REACH = 12.0
_PAIRS_PER_SHARD = 64
# Counts up whenever the synthesis changes its output: sets of an older recipe are made anew.
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
    """What a set is made of; any difference here makes another set, beside the first.

    Attributes:
        photographs: folder of sharp photographs, or None for the embedded ones.
        train_pairs: pairs made of each training photograph.
        test_pairs: pairs made of each test photograph.
        longest_side: of the frames, px; the shorter side keeps the photograph's proportion, but
            never below 256 px, so that the usual training crop fits.
        domain: what the exposure averages (see `draw_shake`); "both" takes turns.
        anchor: the pose that sharp frames are seen from (see `draw_shake`).
        strength: median size of the motion, px. At 8, which suits frames of 1280×720, the small
            embedded photographs lose more than the pairs of real data sets do.
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
        if self.domain not in (*DOMAINS, "both"):
            raise ValueError(
                f"domain {self.domain!r} is unknown: choose one of {', '.join(DOMAINS)}, both"
            )
        if self.anchor not in ANCHORS:
            raise ValueError(
                f"anchor {self.anchor!r} is unknown: choose one of {', '.join(ANCHORS)}"
            )
        if min(self.train_pairs, self.test_pairs) < 1:
            raise ValueError(
                f"train_pairs={self.train_pairs}, test_pairs={self.test_pairs}: at least 1 each"
            )
        if self.strength <= 0:
            raise ValueError(f"strength={self.strength:g} must be above 0, in px")
        if self.longest_side < SMALLEST_SIDE:
            raise ValueError(
                f"longest_side={self.longest_side}: frames need at least {SMALLEST_SIDE} px, so "
                "that training crops fit"
            )


@dataclasses.dataclass(frozen=True)
class Pair:
    """One record to be made."""

    photograph: sources.Photograph
    others: tuple[sources.Photograph, ...]
    index: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.photograph.name}_{self.index:04d}"


@dataclasses.dataclass(eq=False)
class CameraShakeConfig(tfds.core.BuilderConfig):
    """tfds's handle of `Settings`; `for_settings` names it so that equal sets have equal names."""

    settings: Settings = dataclasses.field(default_factory=Settings)
    split: sources.Split | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def for_settings(cls, settings: Settings) -> "CameraShakeConfig":
        split = sources.find(settings.photographs)
        _check_sizes(split, settings.longest_side)
        described = dataclasses.asdict(settings) | {
            # Where the photographs lie does not matter, what they are does.
            "photographs": {
                part: [(photo.name, photo.digest()) for photo in getattr(split, part)]
                for part in ("train", "test")
            },
            "recipe": _RECIPE,
        }
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        source = "embedded" if settings.photographs is None else "folder"
        return cls(
            name=f"{source}_{settings.domain}_{digest[:12]}",
            description=json.dumps(dataclasses.asdict(settings)),
            settings=settings,
            split=split,
        )


class Builder(shards.ShardBuilder):
    """Splits train and test share no photograph; every record can be made anew from its seed."""

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
        plans = {part: plan(getattr(split, part), part, settings) for part in ("train", "test")}
        self.info.metadata[PHOTOGRAPHS] = in_runs(pair.photograph.name for pair in plans["train"])
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


def prepare(directory: str | Path, photographs: str | Path | None = None, **settings) -> Path:
    """Makes the set below `directory`, unless it is there already, and returns where it is.

    An interrupted run leaves nothing that could be taken for a set; repeated, it goes on.

    Args:
        directory: root of all sets; each set of settings gets its own place below.
        photographs: folder of sharp photographs; None or "" takes the embedded ones.
        **settings: the other fields of `Settings`.

    Raises:
        ValueError: for unusable settings or photographs, before anything is made.
    """
    source = str(Path(photographs).expanduser()) if photographs else None
    config = CameraShakeConfig.for_settings(Settings(photographs=source, **settings))
    builder = Builder(
        data_dir=str(Path(directory).expanduser()), config=config, file_format=shards.FORMAT
    )
    return shards.build(builder)


def rebuild_shake(record: Mapping) -> Shake:
    """The shake that blurred a record, for its `motion_field` or to expose something else."""
    parameters = json.loads(record["parameters"])["shake"]
    # Sets made before there was a choice do not tell.
    return draw_shake(int(record["seed"]), **{"anchor": "middle"} | parameters)


def frame_size(height: int, width: int, longest_side: int) -> tuple[int, int]:
    """Frame (height, width) for a photograph: its proportion, in whole multiples of 8."""
    ratio = min(1.0, longest_side / max(height, width))
    return tuple(max(SMALLEST_SIDE, round(side * ratio / 8) * 8) for side in (height, width))


def plan(
    photographs: Sequence[sources.Photograph], part: Literal["train", "test"], settings: Settings
) -> list[Pair]:
    """The records of a split, in order. Adding a photograph leaves the others' seeds alone."""
    count = settings.train_pairs if part == "train" else settings.test_pairs
    return [
        Pair(
            photograph,
            # A lone photograph is its own foreground.
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
    """How far the motion may look beyond the frame before a photograph must be enlarged."""
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
            f"their motion: remove them, or lower longest_side (at least {least} px are needed on "
            f"both sides in any case):\n{listing(small)}"
        )
