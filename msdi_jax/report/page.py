"""The page itself: tables, samples, and everything put together."""

import importlib.resources
import json
import os
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from msdi_jax.report import charts, reading, summary
from msdi_jax.report.reading import ROLES, Curves, Sample, difference
from msdi_jax.report.words import STAGES, is_number, number, plain, significant, text

METRICS = {"psnr": ("PSNR, dB", 2), "ssim_3d": ("ssim_3d", 4), "ssim": ("ssim", 4)}
MACHINERY = ("learning_rate", "gradient_norm", "steps_per_second")


def write_report(run: Path) -> Path:
    """Writes `report.html` into a finished or half-finished run directory; returns its path.

    Raises:
        ValueError: `run` has no readable `config.json`.
    """
    target = run / "report.html"
    page = _page(run)
    # Beside the target, since only a rename within one file system is atomic.
    unfinished = run / f".report-{os.getpid()}.html"
    try:
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _page(run: Path) -> str:
    config = reading.read_config(run)
    missing: list[str] = []
    evaluation = reading.read_evaluation(run / "evaluation.json", missing)
    stages = config.get("stages", STAGES)
    curves = reading.read_metrics(run / "metrics.jsonl", stages, missing)
    samples = reading.read_samples(run / "samples", evaluation, missing)
    images = reading.per_image(evaluation)
    widest = max((sample.size[0] for sample in samples), default=0)
    remarks = summary.remarks(evaluation, curves, config)
    template = importlib.resources.files("msdi_jax.report") / "template.html"
    return string.Template(template.read_text(encoding="utf-8")).substitute(
        name=text(run.resolve().name),
        verdict=text(summary.verdict(evaluation)),
        remarks="".join(f"<p>{text(line)}</p>" for line in remarks),
        facts=_facts(summary.facts(evaluation, config)),
        missing=_missing(missing),
        metrics=_metrics_table(evaluation),
        held_out=_held_out_tables(evaluation.get("held_out", {})),
        sample_width=f"{min(max(widest, 320), 580)}px",
        samples=_samples(samples, images),
        gains=_gains(images),
        curves=_curves(curves),
        per_image=_per_image_table(images),
        config=text(json.dumps(config, indent=2, ensure_ascii=False)),
    )


def _facts(facts: dict[str, Any]) -> str:
    return "".join(
        f"<div><dt>{text(key)}</dt><dd>{text(plain(value))}</dd></div>"
        for key, value in facts.items()
    )


def _missing(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    items = "".join(f"<li>{text(item)}</li>" for item in missing)
    return f'<aside class="notice"><h2>Missing or unreadable</h2><ul>{items}</ul></aside>'


# ---------------------------------------------------------------------------- tables


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, label: str, kind: str = ""
) -> str:
    """`head` and `rows` are HTML already; the first cell of a row is its heading."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{text(label)}" tabindex="0">'
        f'<table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _metrics_table(evaluation: dict) -> str:
    if not evaluation:
        return "<p>Not evaluated.</p>"
    rows = [
        [
            label,
            number(evaluation.get(f"{metric}_blurry"), digits),
            f"<strong>{number(evaluation.get(f'{metric}_deblurred'), digits)}</strong>",
            number(difference(evaluation, metric), digits, signed=True),
            number(evaluation.get(f"{metric}_reblurred"), digits),
        ]
        for metric, (label, digits) in METRICS.items()
    ]
    head = [
        "",
        "blurry <small>against sharp</small>",
        "deblurred <small>against sharp</small>",
        "change <small>by deblurring</small>",
        "reblurred <small>against blurry</small>",
    ]
    return _table(head, rows, label="Image quality")


def _held_out_tables(held_out: dict) -> str:
    return "".join(
        f"<div><h3>{title}</h3>{_held_out_table(title, held_out.get(stage, {}))}</div>"
        for stage, title in STAGES.items()
    )


def _held_out_table(title: str, losses: dict) -> str:
    initial, final = losses.get("initial", {}), losses.get("final", {})
    rows = []
    for name in initial | final:
        pair = initial.get(name), final.get(name)
        change = pair[1] - pair[0] if all(map(is_number, pair)) else None
        rows.append([text(name), *map(significant, pair), significant(change, signed=True)])
    if not rows:
        return "<p>Not recorded.</p>"
    return _table(["loss", "initial", "final", "change"], rows, label=f"Held-out, {title}")


def _per_image_table(images: Sequence[dict]) -> str:
    if not images:
        return "<p>No per-image results.</p>"
    columns = {
        f"{metric}_{role}": (f"{label.split(',')[0]} {role}", digits)
        for metric, (label, digits) in METRICS.items()
        for role in ("blurry", "deblurred", "reblurred")
        if any(f"{metric}_{role}" in row for row in images)
    }
    rows = [
        [
            text(row.get("name", "")),
            text(row.get("photograph", "")),
            number(difference(row, "psnr"), signed=True),
            *(number(row.get(key), digits) for key, (_, digits) in columns.items()),
        ]
        for row in images
    ]
    head = ["image", "photograph", "gain, dB", *(label for label, _ in columns.values())]
    return _table(head, rows, label="Results per image", kind="sortable")


# ---------------------------------------------------------------------------- pictures


def _samples(samples: Sequence[Sample], images: Sequence[dict]) -> str:
    if not samples:
        return "<p>No sample pictures.</p>"
    results = {str(row.get("name")): row for row in images}
    return "".join(
        _slider(index, sample, results.get(sample.name, {})) for index, sample in enumerate(samples)
    )


def _slider(index: int, sample: Sample, result: dict) -> str:
    """The blurry picture on the left of a movable line, one of the others on its right."""
    name = text(sample.name)
    width, height = sample.size
    right = [role for role in ROLES[1:] if role in sample.pictures]
    images = "".join(
        f'<img class="{role}" src="{sample.pictures[role]}" alt="{name}, {role}" '
        f'width="{width}" height="{height}">'
        for role in [*right, "blurry"]
    )
    tags = "".join(f'<span class="tag other {role}">{role}</span>' for role in right)
    return (
        f'<figure class="slider"><div class="frame" style="aspect-ratio:{width}/{height}">{images}'
        '<span class="line" aria-hidden="true"></span><span class="tag">blurry</span>'
        f"{tags}"
        '<input type="range" min="0" max="100" value="50" '
        f'aria-label="{name}: per cent of the width that shows the blurry picture"></div>'
        f"<fieldset><legend>Right of the line</legend>{_choices(index, right)}</fieldset>"
        f"<figcaption>{_caption(name, result)}</figcaption></figure>"
    )


def _choices(index: int, roles: Sequence[str]) -> str:
    return "".join(
        f'<label><input type="radio" name="right-{index}" value="{role}"'
        f"{' checked' if role == roles[0] else ''}>{role}</label>"
        for role in roles
    )


def _caption(name: str, result: dict) -> str:
    caption = f"<strong>{name}</strong>"
    if (gain := difference(result, "psnr")) is not None:
        caption += (
            f" <span>PSNR {number(result['psnr_blurry'])} → "
            f"{number(result['psnr_deblurred'])} dB ({number(gain, signed=True)})</span>"
        )
    return caption


# ---------------------------------------------------------------------------- charts


def _gains(images: Sequence[dict]) -> str:
    """Bars by photograph, then by gain; beside them a table that is also the legend."""
    groups: dict[str, list[tuple[float, str]]] = {}
    for row in images:
        if (gain := difference(row, "psnr")) is not None:
            group = groups.setdefault(str(row.get("photograph", "unknown")), [])
            group.append((gain, str(row.get("name", ""))))
    if not groups:
        return "<p>No per-image gains.</p>"
    groups = {name: sorted(groups[name], reverse=True) for name in sorted(groups)}
    legend = [
        _legend_row(min(colour, charts.COLOURS - 1), name, [gain for gain, _ in group])
        for colour, (name, group) in enumerate(groups.items())
    ]
    head = ["photograph", "images", "mean, dB", "min", "max"]
    table = _table(head, legend, label="Gain by photograph")
    return charts.gain_bars(list(groups.values())) + table


def _legend_row(colour: int, name: str, gains: Sequence[float]) -> list[str]:
    numbers = (number(summarise(gains), signed=True) for summarise in (np.mean, min, max))
    return [f'<i class="swatch c{colour}"></i>{text(name)}', str(len(gains)), *numbers]


def _curves(curves: Curves) -> str:
    sections = []
    for stage, scalars in curves.items():
        figures = {name: charts.curve_chart(name, curve) for name, curve in scalars.items()}
        losses = "".join(f for name, f in figures.items() if not name.startswith(MACHINERY))
        rest = "".join(f for name, f in figures.items() if name.startswith(MACHINERY))
        section = f'<h3>{text(STAGES.get(stage, stage))}</h3><div class="charts">{losses}</div>'
        if rest:
            section += (
                "<details><summary>Learning rates, gradient norms, speed</summary>"
                f'<div class="charts">{rest}</div></details>'
            )
        sections.append(section)
    return "".join(sections) or "<p>No curves.</p>"
