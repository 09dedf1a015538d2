"""msdi deblur: restore photographs."""

import argparse
import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from msdi_jax import models
from msdi_jax.cli import model_options, photographs
from msdi_jax.cli.paths import path
from msdi_jax.cli.photographs import Job
from msdi_jax.restoration import bounded_memory, image_io, restore

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
# Errors that the next photograph would meet too.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
Restore = Callable[[np.ndarray], np.ndarray]


def add_to(commands) -> None:
    parser = commands.add_parser("deblur")
    parser.set_defaults(command=run)
    model_options.add_model(parser)
    parser.add_argument(
        "--input",
        type=path,
        nargs="+",
        required=True,
        help="image files, folders of images, or patterns such as 'photos/*.jpg'",
    )
    parser.add_argument(
        "--output",
        type=path,
        required=True,
        help="folder to write; for a single input file, an image file too",
    )
    parser.add_argument(
        "--recursive", action="store_true", help="enter subfolders, and keep them in the output"
    )
    parser.add_argument(
        "--skip-existing", action="store_true", help="leave out images whose output exists"
    )
    parser.add_argument(
        "--format",
        choices=[suffix.removeprefix(".") for suffix in image_io.SUFFIXES],
        help="format of all files of a folder; default: the format of each input, and png for "
        f"{', '.join(image_io.READ_ONLY)}",
    )
    parser.add_argument(
        "--restore",
        choices=restore.MODES,
        help="whole: in one piece; grid: in the 256-pixel tiles of the published evaluation; "
        "default: in one piece if --memory allows it, else in large blended tiles",
    )
    parser.add_argument(
        "--memory",
        help="limit of the memory, about, such as 1.5GB; default: 2GB plus the weights, more for "
        "photographs above 12 megapixels",
    )
    model_options.add_to(parser)


def run(options: argparse.Namespace) -> None:
    memory = None if options.memory is None else parse_memory(options.memory)
    if options.restore and options.memory:
        raise ValueError(
            f"--restore {options.restore} leaves nothing for --memory to choose: give one of them"
        )
    jobs = photographs.jobs(options.input, options.output, options.format, options.recursive)
    if options.skip_existing:
        jobs = _without_existing(jobs)
    if len(jobs) == 1:
        # Before the model, whose loading takes longer.
        _read(*jobs[0], memory)
    if jobs:
        network = model_options.as_asked(models.load(options.model), options)
        restore_files(jobs, _restorer(network, options.restore, memory), memory)
    print(options.output)


def parse_memory(text: str) -> int:
    """Return the bytes of "2GB", "500 MB" or a plain number."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)B?\s*", text.upper())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"--memory {text!r} is no amount of memory: write it like 2GB or 500MB")
    return int(float(match[1]) * UNITS[match[2]])


def _without_existing(jobs: list[Job]) -> list[Job]:
    left = [job for job in jobs if not job.target.exists()]
    if len(left) < len(jobs):
        print(f"{len(jobs) - len(left)} of {len(jobs)} exist already", file=sys.stderr)
    return left


def _restorer(network: models.Model, restoration: str | None, memory: int | None) -> Restore:
    """Return the function from a [0, 1] image to the restored one."""
    if restoration:
        return lambda image: restore.MODES[restoration](network.deblur, image)
    bounded = bounded_memory.BoundedRestorer(network, memory)
    return lambda image: np.clip(bounded(image[None])[0], 0, 1)


def restore_files(jobs: list[Job], restored: Restore, memory: int | None = None) -> None:
    """Restore each file; errors are reported at the end, when the good files are done."""
    problems, tried = [], 0
    progress = tqdm(jobs, desc="deblur", unit="image", disable=len(jobs) == 1)
    for source, target in progress:
        tried += 1
        progress.set_postfix_str(source.name)
        try:
            photograph = _read(source, target, memory)
            result = photograph.restored(restored(photograph.unit()))
            target.parent.mkdir(parents=True, exist_ok=True)
            image_io.write_photograph(target, result)
            _report(photograph, target)
        except ValueError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{target} cannot be written: {error.strerror or error}")
            if error.errno in FULL:
                break
    if len(jobs) == 1 and problems:
        raise ValueError(problems[0])
    if problems:
        untried = f"\n{len(jobs) - tried} more were not tried" if tried < len(jobs) else ""
        raise ValueError(
            f"{len(problems)} of {tried} images could not be restored:\n  "
            + "\n  ".join(problems)
            + untried
        )


def _read(source: Path, target: Path, memory: int | None) -> image_io.Photograph:
    """Read a photograph that can be restored and written.

    Raises:
        ValueError: naming the file, before its pixels are decoded where that is possible.
    """
    height, width = image_io.read_size(source)
    image_io.check_fits(target, height, width)
    try:
        bounded_memory.check_room(height, width, memory)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    return image_io.read_photograph(source, truncated=True)


def _report(photograph: image_io.Photograph, target: Path) -> None:
    losses = image_io.losses(target, photograph)
    for message in (*photograph.warnings, *([f"{target}: {losses}"] if losses else [])):
        tqdm.write(message, file=sys.stderr)
