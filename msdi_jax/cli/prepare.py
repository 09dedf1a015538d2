"""msdi prepare: make a data set from its unpacked download, or from pairs of your own."""

import argparse
import dataclasses
import shlex
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
from absl import logging
from tqdm import tqdm

from msdi_jax.cli.paths import path
from msdi_jax.data import records
from msdi_jax.evaluation import metrics
from msdi_jax.evaluation.test_sets import PREPARED

# Enough for the mean PSNR of the blurry images to a few tenths of a dB.
_SAMPLE = 64
# Options of the command line → parameters of the builders' prepare().
_OPTIONS = {
    "from": "source",
    "blur": "blur",
    "accept-part": "accept_part",
    "blurry": "blurry",
    "sharp": "sharp",
    "blurry-template": "blurry_template",
    "sharp-template": "sharp_template",
    "tile": "tile",
    "raw": "raw",
}


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("prepare")
    parser.set_defaults(command=run)
    parser.add_argument("name", help="gopro, realblur_j, realblur_r, hide or pairs")
    parser.add_argument(
        "--from",
        dest="source",
        type=path,
        metavar="SOURCE",
        help="folder of the unpacked download; pairs: folder that holds blurry/ and sharp/, or CSV "
        "file with the columns blurry and sharp",
    )
    parser.add_argument(
        "--to",
        type=path,
        default=PREPARED,
        help="folder of all prepared sets; default: %(default)s",
    )
    parser.add_argument(
        "--blur", help="gopro: blur (frames averaged as encoded; default) or blur_gamma"
    )
    parser.add_argument(
        "--accept-part",
        action="store_const",
        const=True,
        help="published sets: accept an incomplete download",
    )
    parser.add_argument(
        "--blurry", type=path, help="pairs: folder of the blurry images, instead of --from"
    )
    parser.add_argument(
        "--sharp", type=path, help="pairs: folder of the sharp images, of the same names"
    )
    for kind in ("blurry", "sharp"):
        parser.add_argument(
            f"--{kind}-template",
            metavar="TEMPLATE",
            help=f"pairs: names of the {kind} files without suffix, with {{}} for the name of the "
            "pair",
        )
    parser.add_argument(
        "--tile", type=int, help="pairs: side of the training tiles, px; default: 512"
    )
    parser.add_argument(
        "--raw",
        action="store_const",
        const=True,
        help="store raw pixels instead of PNG: about six times the size, four to five times as "
        "fast to read",
    )


def run(options: argparse.Namespace) -> None:
    # tfds logs its inner workings at lower levels.
    logging.set_verbosity(logging.ERROR)
    builder = find_builder(options.name)
    arguments = _arguments(options, builder)
    started = time.monotonic()
    try:
        directory = Path(builder.prepare(options.to, **arguments))
    except KeyboardInterrupt:
        sys.exit("stopped: the same command resumes")
    print(summary(options.name, directory, time.monotonic() - started))
    chosen = {k: v for k, v in arguments.items() if k in ("blur", "raw", "tile")}
    print("train:    ", *_fields({"name": options.name, "directory": directory} | chosen))


def find_builder(name: str) -> ModuleType:
    """Return the builder of a set that is made from the user's files.

    Raises:
        ValueError: for an unknown name, and for a set that needs no files.
    """
    builder = records.find_builder(name)
    if "source" not in _fields_of(builder):
        raise ValueError(f"{name} is prepared by `msdi train` and `msdi evaluate` themselves")
    return builder


def _fields_of(builder: ModuleType) -> set[str]:
    return {field.name for field in dataclasses.fields(builder.Settings)}


def _arguments(options: argparse.Namespace, builder: ModuleType) -> dict:
    given = {
        option: value
        for option, parameter in _OPTIONS.items()
        if (value := getattr(options, parameter)) is not None
    }
    known = _fields_of(builder)
    if foreign := [f"--{option}" for option in given if _OPTIONS[option] not in known]:
        raise ValueError(f"{options.name} has no option {', '.join(foreign)}: leave it out")
    if not given.keys() & {"from", "blurry", "sharp"}:
        raise ValueError("--from is missing: give the folder of the download")
    return {_OPTIONS[option]: value for option, value in given.items()}


def summary(name: str, directory: Path, seconds: float) -> str:
    """Describe the contents of a prepared set, how blurry it is, and how to use it."""
    parts = records.describe_set(directory)
    split = "test" if "test" in parts else "train"
    lines = [
        f"{name}: {directory}",
        *(_describe(split, part) for split, part in parts.items()),
        f"{split}: {blurriness(records.open_split(directory, split))}",
        f"ready after {seconds:.1f} s",
        f"evaluate:  --dataset {name} --data {shlex.quote(str(directory))}",
    ]
    return "\n".join(lines)


def _fields(dataset: dict) -> list[str]:
    return [shlex.quote(f"--config.dataset.{field}={value}") for field, value in dataset.items()]


def blurriness(source) -> str:
    """Describe the mean PSNR of blurry against sharp over a sample."""
    chosen = np.unique(np.linspace(0, len(source) - 1, _SAMPLE).astype(int))
    sample = (source[int(i)] for i in tqdm(chosen, desc="blurriness", unit="image"))
    psnr = np.array([metrics.psnr(record["blurry"], record["sharp"]) for record in sample])
    values = psnr[np.isfinite(psnr)]
    equal = f", {len(psnr) - len(values)} of {len(psnr)} pairs are equal images"
    if len(values) == 0:
        return f"blurry images are not blurry{equal}"
    low, high = np.percentile(values, (5, 95))
    return (
        f"blurry against sharp has PSNR {values.mean():.2f} dB on average, 5 to 95 %: {low:.1f} "
        f"to {high:.1f} dB, over {len(values)} images" + equal * (len(values) < len(psnr))
    )


def _describe(split: str, part) -> str:
    pairs = sum(part.sizes.values())
    sizes = sorted(part.sizes, key=lambda size: [int(side) for side in size.split("×")])
    several = f" to {sizes[-1]} px, {len(sizes)} sizes" if len(sizes) > 1 else " px"
    stored = f"{part.records:7} records {_size(part.bytes)}"
    return f"{split:5} {pairs:6} pairs ({sizes[0]}{several}) {stored}"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
