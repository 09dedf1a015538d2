"""The directory of a run, or of an evaluation, as records.

What is absent or unreadable goes into the list `missing`, in words for the reader.
"""

import base64
import collections
import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from msdi_jax.evaluation import aggregate, best_worst
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
    """Values by step."""

    training: dict[int, float]
    val: dict[int, float]


Curves = dict[str, dict[str, Curve]]
"""By stage, then by the scalar's name."""


def is_evaluation(folder: Path) -> bool:
    """Whether `python -m msdi_jax evaluate` wrote it, rather than a run."""
    return (folder / "row.json").is_file() and not (folder / "config.json").is_file()


def read_config(folder: Path) -> dict:
    """What a run was configured with, or what an evaluation measured."""
    path = folder / ("header.json" if is_evaluation(folder) else "config.json")
    if not path.is_file():
        raise ValueError(
            f"{folder} is not a run directory: no config.json; give the --workdir of a launch.py "
            "run, or the folder that evaluate wrote"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); restore it or run again") from error


def read_evaluation(folder: Path, missing: list[str]) -> dict:
    """Means, deciles and the rows per image, {} where the run was not evaluated."""
    path = folder / ("row.json" if is_evaluation(folder) else "evaluation.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        missing.append("evaluation.json: the run has not been evaluated")
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        missing.append(f"{path.name} is there but is not JSON of an evaluation")
        return {}
    if is_evaluation(folder):
        found["per_image"] = _read_rows(folder / "per_image.csv", missing)
    if aggregate.psnr_key(found, "deblurred") is None:
        missing.append(f"{path.name} has no psnr_deblurred")
    return found


def _read_rows(path: Path, missing: list[str]) -> list[dict]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                {
                    key: value if key in aggregate.TEXT else float(value)
                    for key, value in row.items()
                }
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError) as error:
        missing.append(f"{path.name} cannot be read ({error})")
        return []


def per_image(evaluation: dict) -> list[dict]:
    return evaluation.get("per_image", [])


def difference(row: dict, metric: str) -> float | None:
    """What deblurring adds to a metric, of an evaluation or of one image of it."""
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
    """Pictures out of a folder, as many as fit into `EMBEDDED_BYTES` of one page."""

    def __init__(self, missing: list[str]):
        self.missing = missing
        self.left = EMBEDDED_BYTES

    def samples(self, folder: Path, evaluation: dict) -> list[Sample]:
        """Those that `evaluation` names, in its order, then the others in the folder."""
        stems = sorted(
            path.name.removesuffix("-blurry.png") for path in folder.glob("*-blurry.png")
        )
        listed = {best_worst.stem(str(name)): str(name) for name in evaluation.get("samples", [])}
        absent = [stem for stem in listed if stem not in stems]
        self.missing += [f"samples/{stem}-blurry.png" for stem in absent]
        if not stems:
            self.missing.append("samples: no pictures")
        found = [stem for stem in listed if stem in stems] + sorted({*stems} - {*listed})
        return self._fitting("samples", found, lambda stem: self._sample(folder, stem, listed))

    def extremes(self, folder: Path, names: Sequence[str]) -> list[Sample]:
        """Of the images `names`, as `msdi_jax.evaluation.best_worst` wrote them."""
        return self._fitting("extremes", names, lambda name: self._extreme(folder, name))

    def _fitting(self, kind: str, names: Sequence[str], read) -> list[Sample]:
        found = []
        for name in names:
            sample = read(name)
            self.left -= sum(map(len, sample.pictures.values()))
            if self.left < 0:
                self.missing.append(f"{kind}: {name} and later ones, to keep this page small")
                break
            if len(sample.pictures) > 1:
                found.append(sample)
        return found

    def _sample(self, folder: Path, stem: str, listed: dict[str, str]) -> Sample:
        pictures, size = {}, (0, 0)
        for role in ROLES:
            path = folder / f"{stem}-{role}.png"
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
        return Sample(listed.get(stem, stem), pictures if "blurry" in pictures else {}, size)

    def _extreme(self, folder: Path, name: str) -> Sample:
        pictures, size = {}, (0, 0)
        for role in best_worst.ROLES:
            path = best_worst.path(folder, name, role)
            if not path.is_file():
                continue
            try:
                content = path.read_bytes()
                with Image.open(io.BytesIO(content)) as image:
                    image.load()
            except OSError:
                self.missing.append(f"extremes/{path.name} cannot be read as a picture")
            else:
                size = image.size
                pictures[role] = _data_uri(content)
        if not pictures:
            self.missing.append(f"extremes: no pictures of {name}")
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
