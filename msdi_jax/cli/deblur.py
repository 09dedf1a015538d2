"""msdi deblur: restore photographs."""

import argparse
import errno
import re
import sys
from collections import Counter
from collections.abc import Callable, Set
from pathlib import Path

import numpy as np
from tqdm import tqdm

from msdi_jax import models
from msdi_jax.cli import model_options
from msdi_jax.restoration import bounded_memory, image_io, restore

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
# Errors that the next photograph would meet too.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
Restore = Callable[[np.ndarray], np.ndarray]


def add_to(commands) -> None:
    parser = commands.add_parser("deblur")
    parser.set_defaults(command=run)
    model_options.add_model(parser)
    parser.add_argument("--input", required=True, help="image file, or folder of images")
    parser.add_argument("--output", required=True, help="image file or folder to write")
    parser.add_argument(
        "--format",
        choices=[suffix.removeprefix(".") for suffix in image_io.SUFFIXES],
        help="format of all files of a folder; default: the format of each input",
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
    source, target = Path(options.input), Path(options.output)
    work = _folder_work(source, target, options.format) if source.is_dir() else [(source, target)]
    check_work(work)
    if not source.is_dir():
        if options.format:
            raise ValueError(f"--format is for folders: give {target} the suffix of the format")
        image_io.check_writable(target)
        # Before the model, whose loading takes longer.
        image_io.read_photograph(source)
    network = model_options.as_asked(models.load(options.model), options)
    restored = _restorer(network, options.restore, memory)
    if source.is_dir():
        target.mkdir(exist_ok=True)
    restore_files(work, restored)
    print(target)


def parse_memory(text: str) -> int:
    """Return the bytes of "2GB", "500 MB" or a plain number."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)B?\s*", text.upper())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"--memory {text!r} is no amount of memory: write it like 2GB or 500MB")
    return int(float(match[1]) * UNITS[match[2]])


def _folder_work(source: Path, target: Path, kind: str | None) -> list[tuple[Path, Path]]:
    inputs = sorted(p for p in source.iterdir() if p.suffix.lower() in image_io.SUFFIXES)
    # A broken link is kept: it is reported as an image that cannot be read.
    inputs = [p for p in inputs if not p.is_dir() and not p.name.startswith(".")]
    if not inputs:
        raise ValueError(f"{source} holds no images (files in {', '.join(image_io.SUFFIXES)})")
    _report_others(source, inputs)
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file, and {source} is a folder: name a folder to write to")
    work = [(p, target / (p.with_suffix(f".{kind}") if kind else p).name) for p in inputs]
    image_io.check_folder_of(work[0][1] if target.exists() else target)
    return work


def _report_others(source: Path, inputs: list[Path]) -> None:
    """Print how many files of a folder are left out, by their suffixes."""
    others = {p for p in source.iterdir() if not p.name.startswith(".")} - set(inputs)
    kinds = Counter(
        "folder" if p.is_dir() else p.suffix.lower() or "without suffix" for p in others
    )
    if kinds:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        print(
            f"{source}: left out {counts}; images are {', '.join(image_io.SUFFIXES)}",
            file=sys.stderr,
        )


def check_work(work: list[tuple[Path, Path]]) -> None:
    """Raise ValueError if an output would overwrite an input or another output."""
    inputs = {source.resolve() for source, _ in work}
    outputs: dict[str, Path] = {}
    for source, target in work:
        # By lower case: file systems that ignore it would mix them up.
        earlier = outputs.setdefault(str(target.resolve()).lower(), source)
        if earlier is not source:
            raise ValueError(
                f"{earlier} and {source} would both become {target}: rename one, or leave out "
                "--format"
            )
        check_no_input(target, inputs)


def check_no_input(target: Path, inputs: Set[Path]) -> None:
    """Raise ValueError if `target` is one of `inputs`, which are resolved."""
    same = target.exists() and any(target.samefile(path) for path in inputs if path.exists())
    if same or target.resolve() in inputs:
        raise ValueError(f"{target} would overwrite an input: choose another --output")


def _restorer(network: models.Model, restoration: str | None, memory: int | None) -> Restore:
    """Return the function from a [0, 1] image to the restored one."""
    if restoration:
        return lambda image: restore.MODES[restoration](network.deblur, image)
    bounded = bounded_memory.BoundedRestorer(network, memory)
    return lambda image: np.clip(bounded(image[None])[0], 0, 1)


def restore_files(work: list[tuple[Path, Path]], restored: Restore) -> None:
    """Restore each file; errors are reported at the end, when the good files are done."""
    problems, tried = [], 0
    progress = tqdm(work, desc="deblur", unit="image", disable=len(work) == 1)
    for source, target in progress:
        tried += 1
        progress.set_postfix_str(source.name)
        try:
            photograph = image_io.read_photograph(source)
            image_io.write_photograph(target, photograph.restored(restored(photograph.unit())))
            _report_losses(photograph, target)
        except ValueError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{target} cannot be written: {error.strerror or error}")
            if error.errno in FULL:
                break
    if len(work) == 1 and problems:
        raise ValueError(problems[0])
    if problems:
        untried = f"\n{len(work) - tried} more were not tried" if tried < len(work) else ""
        raise ValueError(
            f"{len(problems)} of {tried} images could not be restored:\n  "
            + "\n  ".join(problems)
            + untried
        )


def _report_losses(photograph: image_io.Photograph, target: Path) -> None:
    suffix = target.suffix.lower()
    lost = []
    if photograph.alpha is not None and suffix not in image_io.HOLD_ALPHA:
        lost.append("the alpha channel")
    if photograph.rgb.dtype == np.uint16 and suffix not in image_io.HOLD_16_BIT:
        lost.append("16-bit depth")
    if photograph.profile is not None and suffix not in image_io.HOLD_PROFILE:
        lost.append("the colour profile")
    if photograph.exif is not None and suffix not in image_io.HOLD_EXIF:
        lost.append("EXIF")
    if lost:
        message = f"{target}: written without {' and '.join(lost)}, which .png keeps"
        tqdm.write(message, file=sys.stderr)
