"""Pairs for training without sharp partners: the blur of photographs on other, sharp photographs.

    blurs = image_io.below(Path("mine")), sharp = image_io.below(Path("sharp"))
    write_pairs(joint, blurs, sharp, Path("set"), Settings(pairs=8))

The set is a folder with a table, `pairs.csv`, that `msdi prepare pairs` and `dataset.source` take.
A pair is a function of the seed, the sharp photograph and a number: an interrupted call continues
where it stopped.
"""

import csv
import dataclasses
import functools
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from tqdm import tqdm

from msdi_jax.models import Model
from msdi_jax.networks.resize import resize_bilinear
from msdi_jax.research import transfer
from msdi_jax.restoration import image_io
from msdi_jax.runtime.atomic_write import atomic_write

TABLE, PROVENANCE = "pairs.csv", "provenance.json"
_COLUMNS = ("blurry", "sharp", "blur_of", "strength")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How pairs are made.

    Attributes:
        pairs: number of pairs of each sharp photograph.
        weakest: least strength; 0 is the sharp photograph's own blur, 1 the other photograph's.
        strongest: greatest strength.
        longest_side: larger photographs are first reduced to this, px.
        seed: chooses the blurs and strengths.
    """

    pairs: int = 4
    weakest: float = 0.5
    strongest: float = 1.0
    longest_side: int = 768
    seed: int = 0

    def __post_init__(self):
        for field in ("pairs", "longest_side"):
            if (value := getattr(self, field)) < 1:
                raise ValueError(f"{field.replace('_', '-')}={value} must be at least 1")
        if not 0 <= self.weakest <= self.strongest:
            raise ValueError(
                f"strengths {self.weakest:g} to {self.strongest:g}: the first must be at least 0 "
                "and at most the second"
            )


def write_pairs(
    joint: Model,
    blurry: Sequence[Path],
    sharp: Sequence[Path],
    output: Path,
    settings: Settings,
    provenance: dict,
) -> Path:
    """Write a set of pairs, and return its table, which is written last.

    Args:
        joint: a joint network.
        blurry: photographs to take blur from.
        sharp: photographs to blur, of different names.
        output: folder; created, or continued if it was begun with the same arguments.
        settings: how pairs are made.
        provenance: what to record of the joint network.

    Raises:
        ValueError: there are no photographs, some cannot be read, or `output` belongs to another
            set; before anything is written.
    """
    _check(blurry, sharp)
    _check_readable([*blurry, *sharp])
    record = {
        "model": provenance,
        "settings": dataclasses.asdict(settings),
        "blurry": [_identity(file) for file in blurry],
        "sharp": [_identity(file) for file in sharp],
    }
    _claim(output, record)
    degradation = functools.lru_cache(maxsize=64)(
        lambda file: transfer.representation(joint, read(file, settings.longest_side))
    )
    rows = []
    for file in tqdm(sharp, desc="reblur", unit="photograph"):
        rows += _write_photograph(joint, file, blurry, degradation, output, settings)
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, _COLUMNS)
    table.writeheader()
    table.writerows(rows)
    with atomic_write(output / TABLE) as temporary:
        temporary.write_text(text.getvalue(), newline="")
    return output / TABLE


def read(file: Path, longest_side: int) -> transfer.Image:
    """Read a photograph, reduced to at most `longest_side` px, in [0, 1]."""
    photograph = Picture.fromarray(image_io.read(file))
    photograph.thumbnail((longest_side, longest_side))
    return image_io.to_unit(np.array(photograph))


def _write_photograph(
    joint: Model, file: Path, blurry: Sequence[Path], degradation, output: Path, settings: Settings
) -> list[dict]:
    """Write the pairs of one sharp photograph, unless they exist, and return their rows."""
    image = read(file, settings.longest_side)
    sharp = Path("sharp", f"{file.stem}.png")
    if not (output / sharp).exists():
        image_io.write(output / sharp, image_io.to_uint8(image))
    rows = []
    for number in range(settings.pairs):
        draw = np.random.default_rng(_seed(settings.seed, file.stem, number))
        source = blurry[draw.integers(len(blurry))]
        strength = draw.uniform(settings.weakest, settings.strongest)
        target = Path("blurry", f"{file.stem}_{number:03d}.png")
        if not (output / target).exists():
            own, other = degradation(file), degradation(source)
            # A native encoder has more cells for larger images.
            other = np.asarray(resize_bilinear(other, *own.shape[1:3]))
            mixed = (1 - strength) * own + strength * other
            reblurred = transfer.reblur(joint, image, mixed)
            image_io.write(output / target, image_io.to_uint8(reblurred))
        values = (target.as_posix(), sharp.as_posix(), source.name, f"{strength:.3f}")
        rows.append(dict(zip(_COLUMNS, values, strict=True)))
    return rows


def _check(blurry: Sequence[Path], sharp: Sequence[Path]) -> None:
    for kind, files, least in (("blurry", blurry, 1), ("sharp", sharp, 2)):
        if len(files) < least:
            raise ValueError(
                f"{len(files)} {kind} photographs: give at least {least}"
                + (", one to train and one to test on" if least > 1 else "")
            )
    stems = [file.stem for file in sharp]
    if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
        raise ValueError(f"several sharp photographs are called {', '.join(twice)}: rename them")


def _check_readable(files: Sequence[Path]) -> None:
    """Decode all photographs: a truncated one would otherwise be found after minutes of work."""
    problems = []
    for file in files:
        try:
            image_io.read(file)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))


def _claim(output: Path, record: dict) -> None:
    """Create the folder with its record, or check that it was begun with the same one."""
    file = output / PROVENANCE
    if file.is_file():
        if json.loads(file.read_text()) != record:
            raise ValueError(
                f"{output} was begun with another model, photographs or options: choose another "
                "folder"
            )
    elif output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} is not an empty folder: choose another")
    else:
        for name in ("blurry", "sharp"):
            (output / name).mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")


def _identity(file: Path) -> dict[str, str]:
    return {"name": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def _seed(*parts: int | str) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:6], "big")
