"""Read the directory of a run, or of an evaluation.

The list `missing` names absent and unreadable files, in words for the reader.
"""

import base64
import collections
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from msdi_jax.evaluation import aggregate, best_worst, results_file
from msdi_jax.evaluation.results_file import Evaluation
from msdi_jax.report.words import count, is_number

ROLES = ("blurry", "deblurred", "sharp", "reblurred")
# Of all pictures of a page together.
EMBEDDED_BYTES = 14_000_000


class Sample(NamedTuple):
    """`pictures` are data URIs by role, `size` is width and height in pixels."""

    name: str
    pictures: dict[str, str]
    size: tuple[int, int]


class Curve(NamedTuple):
    """step → value."""

    training: dict[int, float]
    val: dict[int, float]


Curves = dict[str, dict[str, Curve]]
"""stage → name of the scalar → curve"""


class Results(NamedTuple):
    """An evaluation, None where the run was not evaluated, and its rows per image."""

    evaluation: Evaluation | None
    rows: list[dict]

    @property
    def means(self) -> dict[str, float]:
        return self.evaluation.means if self.evaluation else {}


def read_config(folder: Path) -> dict | None:
    """The configuration of a run; None for a folder that the `evaluate` command wrote.

    Raises:
        ValueError: when `folder` is neither, or its configuration is damaged.
    """
    path = folder / "config.json"
    if not path.is_file():
        if (folder / results_file.NAME).is_file():
            return None
        raise ValueError(
            f"{folder} is not a run directory: no config.json; give the --workdir of a launch.py "
            "run, or the folder that evaluate wrote"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); restore it or run again") from error


def read_results(folder: Path, missing: list[str]) -> Results:
    try:
        evaluation = results_file.read(folder)
    except FileNotFoundError:
        missing.append(f"{results_file.NAME}: the run has not been evaluated")
        return Results(None, [])
    except ValueError as error:
        missing.append(str(error))
        return Results(None, [])
    if aggregate.psnr_key(evaluation.means, "deblurred") is None:
        missing.append(f"{results_file.NAME} has no PSNR of deblurred images")
    try:
        return Results(evaluation, list(results_file.read_rows(folder).values()))
    except (OSError, ValueError) as error:
        missing.append(f"{results_file.ROWS} cannot be read ({error})")
        return Results(evaluation, [])


def difference(row: Mapping, metric: str) -> float | None:
    """The change of a metric by deblurring, in means or in the row of an image."""
    pair = row.get(f"{metric}_deblurred"), row.get(f"{metric}_blurry")
    return pair[0] - pair[1] if all(map(is_number, pair)) else None


def read_metrics(path: Path, stages: Iterable[str], missing: list[str]) -> Curves:
    if not path.is_file():
        missing.append("metrics.jsonl: no training curves")
        return {}
    curves: Curves = {}
    faults = collections.Counter()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        _add_line(line, curves, faults)
    if unreadable := faults["unreadable"]:
        missing.append(f"metrics.jsonl: {count(unreadable, 'unreadable line')} left out")
    if infinite := faults["infinite"]:
        missing.append(f"metrics.jsonl: {count(infinite, 'value')} not finite, not drawn")
    absent = [name for name in stages if name not in curves]
    if absent:
        missing.append(f"metrics.jsonl has no rows of stage {', '.join(absent)}")
    return curves


def _add_line(line: str, curves: Curves, faults: collections.Counter) -> None:
    try:
        row = json.loads(line)
        stage, step = str(row.pop("stage")), int(row.pop("step"))
    except (ValueError, KeyError, TypeError, AttributeError):
        faults["unreadable"] += bool(line.strip())
        return
    for key, value in row.items():
        name = key.removeprefix("val/")
        curve = curves.setdefault(stage, {}).setdefault(name, Curve({}, {}))
        if is_number(value):
            # A resumed run repeats steps; the later line is the one that counts.
            (curve.training if name == key else curve.val)[step] = value
        else:
            faults["infinite"] += 1


class Album:
    """Pictures of a folder, up to `EMBEDDED_BYTES` on one page."""

    def __init__(self, missing: list[str]):
        self.missing = missing
        self.left = EMBEDDED_BYTES

    def samples(self, folder: Path, names: Sequence[str]) -> list[Sample]:
        """Pictures of the images `names` that `evaluate` wrote for them."""
        if not names:
            self.missing.append("samples: no pictures")
        return self._fitting("samples", names, lambda name: self._sample(folder, name))

    def best_worst(self, folder: Path, names: Sequence[str]) -> list[Sample]:
        """Pictures of the images `names` that `msdi_jax.evaluation.best_worst` wrote."""
        return self._fitting("best_worst", names, lambda name: self._best_worst(folder, name))

    def _fitting(self, kind: str, names: Sequence[str], read) -> list[Sample]:
        samples = []
        for name in names:
            sample = read(name)
            self.left -= sum(map(len, sample.pictures.values()))
            if self.left < 0:
                self.missing.append(f"{kind}: {name} and later ones, to keep this page small")
                break
            if len(sample.pictures) > 1:
                samples.append(sample)
        return samples

    def _sample(self, folder: Path, name: str) -> Sample:
        pictures, size = {}, (0, 0)
        for role in ROLES:
            path = folder / f"{best_worst.file_stem(name)}-{role}.png"
            try:
                with Image.open(path) as image:
                    picture = image.convert("RGB")
            except FileNotFoundError:
                if role != "reblurred":  # only stage 1 has these
                    self.missing.append(f"samples/{path.name}")
            except OSError:
                self.missing.append(f"samples/{path.name} cannot be read as a picture")
            else:
                size = size if any(size) else picture.size
                pictures[role] = _data_uri(_jpeg(picture))
        return Sample(name, pictures if "blurry" in pictures else {}, size)

    def _best_worst(self, folder: Path, name: str) -> Sample:
        pictures, size = {}, (0, 0)
        for role in best_worst.ROLES:
            path = best_worst.picture_path(folder, name, role)
            if not path.is_file():
                continue
            try:
                content = path.read_bytes()
                with Image.open(io.BytesIO(content)) as image:
                    image.load()
            except OSError:
                self.missing.append(f"best_worst/{path.name} cannot be read as a picture")
            else:
                size = image.size
                pictures[role] = _data_uri(content)
        if not pictures:
            self.missing.append(f"best_worst: no pictures of {name}")
        return Sample(name, pictures, size)


def _jpeg(picture: Image.Image) -> bytes:
    longest = best_worst.LONGEST_SIDE
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Full chroma resolution: fringes at edges are part of what the reader judges.
    picture.save(buffer, "JPEG", quality=best_worst.QUALITY, subsampling=0)
    return buffer.getvalue()


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
