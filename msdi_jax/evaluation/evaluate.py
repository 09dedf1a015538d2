"""Models on whole test frames: figures per image, means, and pictures."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from msdi_jax.evaluation import aggregate, best_worst, protocols
from msdi_jax.evaluation.results_file import Measurements
from msdi_jax.evaluation.test_sets import text
from msdi_jax.models import Model
from msdi_jax.models.self_ensemble import ORIENTATIONS
from msdi_jax.networks import local_statistics
from msdi_jax.restoration import image_io, restore

TARGETS = {"blurry": "sharp", "deblurred": "sharp", "reblurred": "blurry"}


def evaluate(
    source,
    *,
    deblurrer: Model | None,
    joint: Model | None,
    restoration: str = "whole",
    protocols: Sequence[str] = protocols.DEFAULT,
    samples: Path | None = None,
    sample_count: int = 0,
    kept: Measurements | None = None,
) -> dict:
    """Figures on the pairs of `source`.

    `NAME_blurry` and `NAME_deblurred` compare with the sharp image, `NAME_reblurred` compares the
    reblurred sharp image with the blurry one.

    Args:
        source: records with uint8 "blurry" and "sharp", and a "name".
        deblurrer: deblurs; the joint network does when there is no other.
        joint: reblurs; None leaves the reblurred figures out.
        restoration: how images are restored: "whole" or "grid", see `restore`.
        protocols: how they are scored, see `msdi_jax.evaluation.protocols`.
        samples: folder for pictures of `sample_count` pairs evenly spaced in the source, and,
            below `extremes`, of the ten worst and the ten best.
        kept: where figures are kept as they are measured, and taken from if they are there.

    Returns:
        What `manner` tells, "images", the mean of every figure, "deciles", "per_image", the names
        of the "samples" and of the "extremes".
    """
    check(restoration, protocols)
    shown = set(np.linspace(0, len(source) - 1, sample_count).astype(int).tolist())
    network = deblurrer or joint
    rows, shown_names = [], []
    # Of so few images all are among the extremes, but the middle one: none is restored twice.
    few = len(source) <= 2 * best_worst.COUNT
    if samples is not None:
        _clear(samples)
    for index in tqdm(range(len(source)), desc="evaluate", unit="image"):
        record = source[index]
        row = kept and kept.rows.get(text(record, "name"))
        pictured = samples is not None and index in shown
        if row is None or pictured:
            row, pictures = measure(record, network, joint, restoration, protocols)
            if kept is not None and row["name"] not in kept.rows:
                kept.add(row)
            if samples is not None and few:
                best_worst.draw(samples / "extremes", row["name"], pictures)
        rows.append(row)
        if pictured:
            shown_names.append(row["name"])
            _write(samples, row["name"], pictures)
    chosen = {}
    if samples is not None:
        chosen = best_worst.write(
            samples / "extremes", rows, lambda i: pictures_of(source[i], network, restoration)
        )
    return {
        **restoration_settings(restoration, network),
        "protocols": list(protocols),
        "images": len(rows),
        **aggregate.means(rows),
        "deciles": aggregate.deciles(rows),
        "per_image": rows,
        "samples": shown_names,
        "extremes": chosen,
    }


def _clear(samples: Path) -> None:
    """Pictures of an earlier evaluation, perhaps of another model or restored otherwise."""
    shutil.rmtree(samples / "extremes", ignore_errors=True)
    for picture in samples.glob("*.png"):
        picture.unlink()


def check(restoration: str, scoring: Sequence[str]) -> None:
    """Raises ValueError for what `measure` does not know."""
    if restoration not in restore.MODES:
        raise ValueError(f"{restoration!r} is no way to restore: give {' or '.join(restore.MODES)}")
    protocols.check(scoring)


def check_settings(settings: Mapping) -> None:
    """Raise ValueError for values of `config.evaluation` that no evaluation can use."""
    check(settings["restore"], settings["protocols"])
    local_statistics.check(settings["window"] or 0, "evaluation.window")
    if (orientations := settings["orientations"]) not in (None, *ORIENTATIONS):
        raise ValueError(f"evaluation.orientations={orientations} must be one of {ORIENTATIONS}")


def restoration_settings(restoration: str, network: Model) -> dict[str, str | int | None]:
    """How images are restored, as it is recorded beside the figures."""
    orientations = network.description.orientations
    told = restoration if orientations == 1 else f"{restoration}, {orientations} orientations"
    return {"restore": told, "window": network.description.window}


def measure(
    record,
    deblurrer: Model,
    joint: Model | None = None,
    restoration: str = "whole",
    scoring: Sequence[str] = protocols.DEFAULT,
) -> tuple[dict[str, str | float], dict[str, np.ndarray]]:
    """The name and the figures of one pair, and the 8-bit pictures of it."""
    restored = _restored(record, deblurrer, joint, restoration)
    compared = {key: np.asarray(record[key]) for key in ("blurry", "sharp")} | restored
    named = {key: text(record, key) for key in aggregate.TEXT}
    return named | score(compared, scoring), {
        key: _eight_bit(picture) for key, picture in compared.items()
    }


def pictures_of(record, deblurrer: Model, restoration: str) -> dict[str, np.ndarray]:
    """8-bit blurry, deblurred and sharp."""
    restored = _restored(record, deblurrer, None, restoration)
    pictures = {key: np.asarray(record[key]) for key in ("blurry", "sharp")} | restored
    return {key: _eight_bit(picture) for key, picture in pictures.items()}


def _restored(
    record, deblurrer: Model, joint: Model | None, restoration: str
) -> dict[str, np.ndarray]:
    """In [0, 1], not rounded: a protocol decides about that."""
    mode = restore.MODES[restoration]
    blurry, sharp = (image_io.to_unit(np.asarray(record[key])) for key in ("blurry", "sharp"))
    found = {"deblurred": mode(deblurrer.deblur, blurry)}
    if joint is not None:

        def reblur(pair: np.ndarray) -> np.ndarray:
            return joint(pair[..., :3], pair[..., 3:]).reblurred

        found["reblurred"] = mode(reblur, np.concatenate([blurry, sharp], axis=-1))
    return found


def _eight_bit(picture: np.ndarray) -> np.ndarray:
    return picture if picture.dtype == np.uint8 else image_io.to_uint8(picture)


def score(pictures: dict[str, np.ndarray], scoring: Sequence[str]) -> dict[str, float]:
    """`FIGURE_KIND` of every picture that has its target among them."""
    found = {
        kind: protocols.score(pictures[kind], pictures[target], scoring)
        for kind, target in TARGETS.items()
        if kind in pictures
    }
    # All of a figure side by side.
    names = next(iter(found.values()))
    return {f"{name}_{kind}": scores[name] for name in names for kind, scores in found.items()}


def _write(folder: Path, name: str, pictures: dict[str, np.ndarray]) -> None:
    """Each picture, and the two rows a reader wants side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"row": ("blurry", "deblurred", "sharp"), "reblur-row": ("blurry", "reblurred")}
    stem = best_worst.stem(name)
    for key, picture in pictures.items():
        image_io.write(folder / f"{stem}-{key}.png", picture)
    for key, members in rows.items():
        if all(member in pictures for member in members):
            row = np.concatenate([pictures[member] for member in members], axis=1)
            image_io.write(folder / f"{stem}-{key}.png", row)
