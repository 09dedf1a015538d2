"""One table out of several evaluations, with the published rows clearly apart.

Runs whose configurations differ by the seed alone become one row: mean ± standard deviation over
the seeds.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from msdi_jax.evaluation import reported_results, results_file
from msdi_jax.evaluation.protocols import METRICS
from msdi_jax.evaluation.results_file import Evaluation, Settings
from msdi_jax.runtime import config_fields

DECILES = {"blurriest": "blurriest 10 %", "sharpest": "sharpest 10 %"}


class Entry(NamedTuple):
    """An evaluation, the label of its row, and the folder it was read from."""

    label: str
    path: Path
    evaluation: Evaluation


class Row(NamedTuple):
    """A measured method.

    Attributes:
        label: its name; of an ablation, that of configs/ablation.py.
        restored: see `Settings.restoration`.
        values: column → the mean of every seed.
        parameters: of the deblurring network, None where none are recorded.
        published: PSNR of the same ablation in the paper, in dB, if it is comparable.
        identical: sentences about identical pairs, which the means leave out.
    """

    label: str
    restored: str
    values: dict[str, list[float]]
    parameters: int | None = None
    published: float | None = None
    identical: str = ""


class Table(NamedTuple):
    """The measured rows of one test set, and the published ones."""

    title: str
    columns: dict[str, int]
    rows: list[Row]
    published: list[reported_results.PublishedRow]


def read_entry(directory: Path, label: str = "") -> Entry:
    """The evaluation in a directory; `label` names its row, by default its method.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when its file is damaged or unfinished.
    """
    evaluation = results_file.read(directory)
    label = label or evaluation.method or directory.resolve().name
    return Entry(label, directory, evaluation)


def make_tables(entries: Sequence[Entry], dataset: str | None = None) -> list[Table]:
    """A table per test set, in the order of the entries.

    Args:
        entries: the evaluations.
        dataset: the only one to show; None shows all.

    Raises:
        ValueError: for one given twice, two of one seed, and when nothing is left to show.
    """
    _check_different(entries)
    sets: dict[tuple, list[Entry]] = {}
    for entry in entries:
        settings = entry.evaluation.settings
        if dataset in (None, settings.dataset):
            sets.setdefault(_test_set(settings), []).append(entry)
    if not sets:
        known = ", ".join(sorted({e.evaluation.settings.dataset for e in entries})) or "none"
        raise ValueError(f"no evaluation on {dataset!r}: those given are on {known}")
    return [_table(group) for group in sets.values()]


def _test_set(settings: Settings) -> tuple:
    """What must agree for metrics to stand in one table."""
    fields = ("dataset", "configuration", "split", "images", "pairs")
    return tuple(getattr(settings, field) for field in fields)


def _check_different(entries: Sequence[Entry]) -> None:
    seen: set[Path] = set()
    for entry in entries:
        if entry.path.resolve() in seen:
            raise ValueError(f"{entry.path} is given twice: give every run once")
        seen.add(entry.path.resolve())


def _table(entries: Sequence[Entry]) -> Table:
    settings = entries[0].evaluation.settings
    rows = _unique_labels(_by_seed(entries))
    used = {column for row in rows for column in row.values}
    published = []
    if settings.split == "test":
        rows_of_set = reported_results.rows_of_dataset(settings.dataset, settings.configuration)
        published = [row for row in rows_of_set if reported_results.is_complete(row, settings)]
    # Published results get their column even where nothing was measured that way.
    used |= {METRICS[reported_results.METRICS[row.dataset][0]][0] for row in published}
    columns = {name: digits for name, digits in _all_columns().items() if name in used}
    return Table(f"{settings.set_text}, {settings.images} images", columns, rows, published)


def _all_columns() -> dict[str, int]:
    """Digits by column; deciles have the PSNR alone."""
    columns = dict(METRICS.values())
    for label, digits in list(columns.items()):
        if label.startswith("PSNR"):
            columns |= {f"{label}, {part}": digits for part in DECILES.values()}
    return columns


def _by_seed(entries: Sequence[Entry]) -> list[list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for number, entry in enumerate(entries):
        groups.setdefault(_without_seed(entry.evaluation) or str(number), []).append(entry)
    for group in groups.values():
        seeds = [entry.evaluation.config["seed"] for entry in group] if len(group) > 1 else []
        for seed in seeds:
            if seeds.count(seed) > 1:
                same = [str(e.path) for e in group if e.evaluation.config["seed"] == seed]
                raise ValueError(
                    f"{' and '.join(same)} are one run, of seed {seed}: give one of them"
                )
    return list(groups.values())


def _without_seed(evaluation: Evaluation) -> str | None:
    """What two runs must share to be one row; None where no configuration is recorded."""
    if not evaluation.config or "seed" not in evaluation.config:
        return None
    config = config_fields.of_what_is_computed(evaluation.config)
    config.pop("seed", None)
    if evaluation.weights.endswith("-best"):
        fields = config_fields.flattened(evaluation.config)
        config |= {name: fields.get(name) for name in config_fields.INTERVALS}
    settings = evaluation.settings
    shared = [config, settings.protocols, settings.restoration, evaluation.weights]
    return json.dumps(shared, sort_keys=True)


def _unique_labels(groups: Sequence[Sequence[Entry]]) -> list[Row]:
    """A row each; equal labels are followed by the paths that they were read from."""
    rows = [_row(group) for group in groups]
    labels = [row.label for row in rows]
    return [
        row._replace(label=f"{row.label}: {', '.join(str(e.path) for e in group)}")
        if labels.count(row.label) > 1
        else row
        for row, group in zip(rows, groups, strict=True)
    ]


def _row(group: Sequence[Entry]) -> Row:
    values: dict[str, list[float]] = {}
    for entry in group:
        for column, value in _values(entry.evaluation).items():
            values.setdefault(column, []).append(value)
    labels = list(dict.fromkeys(entry.label for entry in group))
    label = ", ".join(labels) + (f" ({len(group)} seeds)" if len(group) > 1 else "")
    first = group[0].evaluation
    return Row(
        label,
        first.settings.restoration or "–",
        values,
        first.parameters,
        reported_results.ablation_psnr(
            (first.config or {}).get("ablation", ""), first.settings, first.means
        ),
        "; ".join(dict.fromkeys(filter(None, (e.evaluation.identical_text for e in group)))),
    )


def _values(evaluation: Evaluation) -> dict[str, float]:
    values = {}
    for metric, (label, _) in METRICS.items():
        if (mean := evaluation.means.get(f"{metric}_deblurred")) is not None:
            values[label] = mean
    if deciles := evaluation.deciles:
        metric = deciles["ranked_by"].removesuffix("_blurry")
        for part, title in DECILES.items():
            values[f"{METRICS[metric][0]}, {title}"] = deciles[part][f"{metric}_deblurred"]
    return values


def format_values(values: Sequence[float] | None, digits: int) -> str:
    """One value, or mean ± sample standard deviation; a dash for none."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"
