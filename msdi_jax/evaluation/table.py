"""One table out of several evaluations, with the published rows clearly apart.

An evaluation is what a run wrote (evaluation.json) or what `evaluate` wrote (row.json). Runs whose
configurations differ by the seed alone become one row: mean ± standard deviation over the seeds.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from msdi_jax.evaluation import aggregate, reported_results
from msdi_jax.evaluation.protocols import FIGURES
from msdi_jax.runtime import config_fields

# What must agree for figures to stand in one table.
COMPARED = ("dataset", "split", "images", "pairs", "configuration")
DECILES = {"blurriest": "blurriest 10 %", "sharpest": "sharpest 10 %"}


class Evaluation(NamedTuple):
    """One measured model or folder of images.

    Attributes:
        label: what the row is called.
        path: where it was read.
        record: means by name, "deciles", and what they were measured on.
        config: of the run, or None where none is recorded.
    """

    label: str
    path: Path
    record: dict
    config: dict | None


class Row(NamedTuple):
    """A measured method.

    Attributes:
        label: its name; of an ablation, that of configs/ablation.py.
        restored: how.
        values: by column, the figures of every seed.
        parameters: of the deblurring network, None where none are recorded.
        published: PSNR of the same ablation in the paper, on GoPro, in dB.
    """

    label: str
    restored: str
    values: dict[str, list[float]]
    parameters: int | None = None
    published: float | None = None


class Table(NamedTuple):
    """The measured rows of one test set, and the published ones."""

    title: str
    columns: dict[str, int]
    rows: list[Row]
    published: list[reported_results.PublishedRow]


def read(run: str) -> Evaluation:
    """An evaluation by the directory that holds it, or LABEL=DIRECTORY to name its row.

    Raises:
        ValueError: when there is none, or its file is damaged.
    """
    label, equals, directory = run.partition("=")
    path = Path(directory if equals and not Path(run).exists() else run)
    files = [path / "row.json", path / "evaluation.json"]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ValueError(
            f"{path} holds neither evaluation.json nor row.json: give a run directory that was "
            "evaluated, or the folder that evaluate wrote"
        )
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        config = record.get("config")
        if (path / "config.json").is_file():
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        record["images"], record["dataset"]
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} is damaged ({error!r}): evaluate again") from error
    named = label if equals and path == Path(directory) else record.get("method")
    named = named or _ablation(config)
    return Evaluation(named or path.resolve().name, path, record, config)


def _ablation(config: dict | None) -> str:
    return (config or {}).get("ablation", "")


def make(evaluations: Sequence[Evaluation], dataset: str | None = None) -> list[Table]:
    """A table per test set, in the order of the evaluations.

    Args:
        evaluations: measured.
        dataset: the only one to show; None shows all.

    Raises:
        ValueError: for one given twice, two of one seed, and when nothing is left to show.
    """
    _check_different(evaluations)
    sets: dict[tuple, list[Evaluation]] = {}
    for evaluation in evaluations:
        if dataset in (None, evaluation.record["dataset"]):
            measured_on = tuple(evaluation.record.get(name, "") for name in COMPARED)
            sets.setdefault(measured_on, []).append(evaluation)
    if not sets:
        known = ", ".join(sorted({e.record["dataset"] for e in evaluations})) or "none"
        raise ValueError(f"no evaluation on {dataset!r}: those given are on {known}")
    return [_table(key, group) for key, group in sets.items()]


def _check_different(evaluations: Sequence[Evaluation]) -> None:
    seen: set[Path] = set()
    for evaluation in evaluations:
        if evaluation.path.resolve() in seen:
            raise ValueError(f"{evaluation.path} is given twice: give every run once")
        seen.add(evaluation.path.resolve())


def _table(key: tuple, evaluations: Sequence[Evaluation]) -> Table:
    dataset, split, images, _, configuration = key
    rows = _told_apart(_by_seed(evaluations))
    found = {column for row in rows for column in row.values}
    published = reported_results.of_dataset(dataset, configuration) if split == "test" else []
    # Published figures get their column even where nothing was measured that way.
    found |= {FIGURES[reported_results.MEANT[row.dataset][0]][0] for row in published}
    columns = {name: digits for name, digits in _all_columns().items() if name in found}
    named = f"{dataset} ({configuration})" if configuration else dataset
    title = f"{' '.join(filter(None, (named, split)))}, {images} images"
    return Table(title, columns, rows, published)


def _all_columns() -> dict[str, int]:
    """Digits by column; the deciles tell PSNR alone."""
    columns = dict(FIGURES.values())
    for label, digits in list(columns.items()):
        if label.startswith("PSNR"):
            columns |= {f"{label}, {part}": digits for part in DECILES.values()}
    return columns


def _by_seed(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    groups: dict[str, list[Evaluation]] = {}
    for number, evaluation in enumerate(evaluations):
        groups.setdefault(_without_seed(evaluation) or str(number), []).append(evaluation)
    for group in groups.values():
        seeds = [evaluation.config["seed"] for evaluation in group] if len(group) > 1 else []
        for seed in seeds:
            if seeds.count(seed) > 1:
                same = " and ".join(str(e.path) for e in group if e.config["seed"] == seed)
                raise ValueError(f"{same} are one run, of seed {seed}: give one of them")
    return list(groups.values())


def _without_seed(evaluation: Evaluation) -> str | None:
    """What two runs must share to be one row; None where no configuration is recorded."""
    if not evaluation.config or "seed" not in evaluation.config:
        return None
    config = config_fields.of_what_is_computed(evaluation.config)
    config.pop("seed", None)
    record = evaluation.record
    # A run's own evaluation is of its last weights.
    weights = record.get("weights", "model")
    if weights.endswith("-best"):
        found = config_fields.flattened(evaluation.config)
        config |= {name: found.get(name) for name in config_fields.INTERVALS}
    # Where the record does not tell how it was measured, the configuration does.
    restored = aggregate.restored(record) or evaluation.config.get("evaluation")
    return json.dumps([config, record.get("protocols"), restored, weights], sort_keys=True)


def _told_apart(groups: Sequence[Sequence[Evaluation]]) -> list[Row]:
    """A row each; where labels of several are alike, with the paths that they were read from."""
    rows = [_row(group) for group in groups]
    labels = [row.label for row in rows]
    return [
        row._replace(label=f"{row.label}: {', '.join(str(e.path) for e in group)}")
        if labels.count(row.label) > 1
        else row
        for row, group in zip(rows, groups, strict=True)
    ]


def _row(group: Sequence[Evaluation]) -> Row:
    values: dict[str, list[float]] = {}
    for evaluation in group:
        for column, value in _values(evaluation.record).items():
            values.setdefault(column, []).append(value)
    labels = list(dict.fromkeys(evaluation.label for evaluation in group))
    label = ", ".join(labels) + (f" ({len(group)} seeds)" if len(group) > 1 else "")
    first = group[0]
    return Row(
        label,
        aggregate.restored(first.record) or "–",
        values,
        first.record.get("parameters"),
        reported_results.ABLATIONS.get(_ablation(first.config)),
    )


def _values(record: dict) -> dict[str, float]:
    found = {}
    for figure, (label, _) in FIGURES.items():
        if f"{figure}_deblurred" in record:
            found[label] = record[f"{figure}_deblurred"]
    deciles = record.get("deciles")
    if deciles:
        figure = deciles["ranked_by"].removesuffix("_blurry")
        for part, title in DECILES.items():
            found[f"{FIGURES[figure][0]}, {title}"] = deciles[part][f"{figure}_deblurred"]
    return found


def told(values: Sequence[float] | None, digits: int) -> str:
    """One value, or mean ± sample standard deviation; a dash for none."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"
