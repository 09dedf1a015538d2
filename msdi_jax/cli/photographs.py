"""The photographs that a command line names, and where their restored versions go."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Set
from pathlib import Path
from typing import NamedTuple

from msdi_jax.restoration import image_io
from msdi_jax.runtime.letter_case import distinguishes_case


class Job(NamedTuple):
    """A photograph to read, and the file to write."""

    source: Path
    target: Path


def jobs(inputs: list[Path], output: Path, form: str | None, recursive: bool) -> list[Job]:
    """Return a job per photograph.

    Args:
        inputs: files, folders and patterns such as `photos/*.jpg`.
        output: a file for a single input file, else a folder.
        form: suffix of all outputs in a folder, without its dot; None for that of each input.
        recursive: enter subfolders, and keep them in the output.

    Raises:
        ValueError: no photograph, an output that is an input or another's output, and a place
            that cannot be written to.
    """
    paths = [path for given in inputs for path in _expanded(given)]
    if len(paths) == 1 and not paths[0].is_dir() and not _is_folder(output):
        if form:
            raise ValueError(f"--format is for folders: give {output} the suffix of the format")
        image_io.check_writable(output)
        found = [Job(paths[0], output)]
    else:
        if output.exists() and not output.is_dir():
            raise ValueError(f"{output} is a file: name a folder to write several images to")
        found = [
            Job(source, output / _output_name(name, form))
            for path in paths
            for source, name in _photographs(path, output, recursive)
        ]
        _check_folder(output, found)
    _check(found)
    return found


def _is_folder(output: Path) -> bool:
    return output.is_dir() or not output.suffix


def _expanded(given: Path) -> list[Path]:
    """Return the paths that a pattern stands for, where no shell has expanded it."""
    # A broken link is reported as an image that cannot be read.
    if os.path.lexists(given) or not glob.has_magic(str(given)):
        return [given]
    # Path.glob takes no absolute patterns.
    paths = sorted(map(Path, glob.glob(str(given), recursive=True)))  # noqa: PTH207
    if not paths:
        raise ValueError(f"{given} matches no file: check --input")
    return paths


def _photographs(path: Path, output: Path, recursive: bool) -> Iterable[tuple[Path, Path]]:
    """Return each photograph and its name within the output."""
    if not path.is_dir():
        return [(path, Path(path.name))]
    found = image_io.below(path) if recursive else _directly_in(path)
    # The results of an earlier run.
    if output.resolve().is_relative_to(path.resolve()) and output.resolve() != path.resolve():
        found = [p for p in found if not p.resolve().is_relative_to(output.resolve())]
    if not found:
        hint = "" if recursive else "; --recursive enters its subfolders"
        raise ValueError(f"{path} holds no images (files in {', '.join(image_io.READABLE)}){hint}")
    if not recursive:
        _report_others(path, found)
    return [(p, p.relative_to(path)) for p in found]


def _directly_in(folder: Path) -> list[Path]:
    images = (p for p in folder.iterdir() if p.suffix.lower() in image_io.READABLE)
    return sorted(p for p in images if not p.is_dir() and not p.name.startswith("."))


def _report_others(folder: Path, images: list[Path]) -> None:
    """Print how many files of a folder are left out, by their suffixes."""
    others = {p for p in folder.iterdir() if not p.name.startswith(".")} - set(images)
    kinds = Counter(
        "folder" if p.is_dir() else p.suffix.lower() or "without suffix" for p in others
    )
    if not kinds:
        return
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    hint = "; --recursive enters folders" if kinds["folder"] else ""
    print(
        f"{folder}: left out {counts}; images are {', '.join(image_io.READABLE)}{hint}",
        file=sys.stderr,
    )


def _output_name(name: Path, form: str | None) -> Path:
    if form is None and name.suffix.lower() in image_io.READ_ONLY:
        form = "png"
    return name.with_suffix(f".{form}") if form else name


def _check_folder(output: Path, found: list[Job]) -> None:
    image_io.check_folder_of(found[0].target if output.exists() else output)
    for _, target in found:
        if target.parent.is_dir():
            image_io.check_writable(target)


def _check(found: list[Job]) -> None:
    """Raise ValueError if an output would overwrite an input or another output."""
    inputs = {source.resolve() for source, _ in found}
    same = str if distinguishes_case(found[0].target.parent) else str.lower
    outputs: dict[str, Path] = {}
    for source, target in found:
        earlier = outputs.setdefault(same(str(target.resolve())), source)
        if earlier is not source:
            raise ValueError(
                f"{earlier} and {source} would both become {target}: rename one, or restore them "
                "into different folders"
            )
        check_no_input(target, inputs)


def check_no_input(target: Path, inputs: Set[Path]) -> None:
    """Raise ValueError if `target` is one of `inputs`, which are resolved."""
    same = target.exists() and any(target.samefile(path) for path in inputs if path.exists())
    if same or target.resolve() in inputs:
        raise ValueError(f"{target} would overwrite an input: choose another --output")
