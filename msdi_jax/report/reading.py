"""The run directory as records.

What is absent or unreadable goes into the list `missing`, in words for the reader.
"""

import base64
import collections
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from msdi_jax.report.words import count, is_number

ROLES = ("blurry", "deblurred", "sharp", "reblurred")
EMBEDDED_BYTES = 9_000_000
LONGEST_SIDE = 1280


class Sample(NamedTuple):
    """`pictures` are data URIs by role, `size` is width and height in pixels."""

    name: str
    pictures: dict[str, str]
    size: tuple[int, int]


class Curve(NamedTuple):
    """Values by step."""

    training: dict[int, float]
    held_out: dict[int, float]


Curves = dict[str, dict[str, Curve]]
"""By stage, then by the scalar's name."""


def read_config(run: Path) -> dict:
    path = run / "config.json"
    if not path.is_file():
        raise ValueError(
            f"{run} is not a run directory: no config.json; give the --workdir of a launch.py run"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); restore it or run again") from error


def read_evaluation(path: Path, missing: list[str]) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        missing.append("evaluation.json: the run has not been evaluated")
        return {}
    except ValueError:
        missing.append("evaluation.json is there but is not JSON")
        return {}
    absent = [f"psnr_{role}" for role in ("blurry", "deblurred") if f"psnr_{role}" not in found]
    if absent:
        missing.append(f"evaluation.json has no {', '.join(absent)}")
    return found


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
        name = key.removeprefix("held_out/")
        curve = curves.setdefault(stage, {}).setdefault(name, Curve({}, {}))
        if is_number(value):
            # A resumed run repeats steps; the later line is the one that counts.
            (curve.training if name == key else curve.held_out)[step] = value
        else:
            faults["infinite"] += 1


def read_samples(folder: Path, evaluation: dict, missing: list[str]) -> list[Sample]:
    """Samples in the order of `evaluation`, as many as fit into `EMBEDDED_BYTES`."""
    samples, left = [], EMBEDDED_BYTES
    for name in _sample_names(folder, evaluation, missing):
        sample = _read_sample(folder, name, missing)
        left -= sum(map(len, sample.pictures.values()))
        if left < 0:
            missing.append(f"samples: {name} and later ones, to keep this page small")
            break
        if "blurry" in sample.pictures and len(sample.pictures) > 1:
            samples.append(sample)
    return samples


def _sample_names(folder: Path, evaluation: dict, missing: list[str]) -> list[str]:
    found = sorted(path.name.removesuffix("-blurry.png") for path in folder.glob("*-blurry.png"))
    listed = [str(name) for name in evaluation.get("samples", [])]
    missing += [f"samples/{name}-blurry.png" for name in listed if name not in found]
    if not found:
        missing.append("samples: no pictures")
    return [name for name in listed if name in found] + sorted({*found} - {*listed})


def _read_sample(folder: Path, name: str, missing: list[str]) -> Sample:
    pictures, size = {}, (0, 0)
    for role in ROLES:
        path = folder / f"{name}-{role}.png"
        try:
            with Image.open(path) as image:
                picture = image.convert("RGB")
        except FileNotFoundError:
            if role != "reblurred":  # only stage 1 has these
                missing.append(f"samples/{path.name}")
        except OSError:
            missing.append(f"samples/{path.name} cannot be read as a picture")
        else:
            size = size if any(size) else picture.size
            pictures[role] = _data_uri(picture)
    return Sample(name, pictures, size)


def _data_uri(picture: Image.Image) -> str:
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Full chroma resolution: fringes at edges are part of what the reader judges.
    picture.save(buffer, "JPEG", quality=90, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
