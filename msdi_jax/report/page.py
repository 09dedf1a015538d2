"""The page: its sections, and its file."""

import dataclasses
import importlib.resources
import itertools
import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msdi_jax.evaluation import best_worst, results_file
from msdi_jax.evaluation.protocols import METRICS
from msdi_jax.evaluation.results_file import Evaluation
from msdi_jax.report import charts, pictures, reading, summary, tables
from msdi_jax.report.reading import Album, Curves, Results, Sample, difference
from msdi_jax.report.words import STAGES, is_number, plain, stages_of, text
from msdi_jax.runtime.atomic_write import atomic_write

MACHINERY = ("learning_rate", "gradient_norm", "steps_per_second")
QUALITY_FOOTNOTE = (
    "Means over the images; differences are taken before rounding. ssim_3d is the structural "
    "similarity of published deblurring tables (the RGB image as a volume, 11×11×11 Gaussian "
    "window); ssim is computed per channel and averaged, and reads lower. Reblurring blurs the "
    "sharp image like its blurry partner, so its target is the blurry image."
)
SLIDER_HINT = (
    "Drag the line, or focus a picture and use the arrow keys; the buttons choose what is right of "
    "it."
)
PARTS = {"worst": ("Worst images", "lowest"), "best": ("Best images", "highest")}
PICTURES_FOOTNOTE = (
    f"Shown as JPEG, at most {best_worst.LONGEST_SIDE} pixels long; the numbers come from the "
    "uncompressed pictures."
)


def write_report(folder: Path) -> Path:
    """Write `report.html` into the directory of a run, finished or not, or of an evaluation.

    Raises:
        ValueError: `folder` is neither, or its configuration is damaged.
    """
    target = folder / "report.html"
    page = _page(folder)
    with atomic_write(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def _page(folder: Path) -> str:
    config = reading.read_config(folder)
    missing: list[str] = []
    results = reading.read_results(folder, missing)
    evaluation, below = results.evaluation, folder / results_file.SAMPLES
    album = Album(missing)
    chosen = evaluation.best_worst if evaluation else {}
    shown = {part: album.best_worst(below / "best_worst", chosen.get(part, [])) for part in PARTS}
    samples, curves, trained = [], {}, []
    if config is not None:
        samples = album.samples(below, evaluation.samples if evaluation else [])
        curves = reading.read_metrics(folder / "metrics.jsonl", stages_of(config), missing)
        trained = _trained(evaluation.val_losses if evaluation else {}, curves, config)
    widest = max((s.size[0] for s in itertools.chain(samples, *shown.values())), default=0)
    remarks = summary.remarks(results, curves, config)
    sections = [*_evaluated(results, shown, samples), *trained, _configuration(evaluation, config)]
    template = importlib.resources.files("msdi_jax.report") / "template.html"
    return string.Template(template.read_text(encoding="utf-8")).substitute(
        kind="Evaluation" if config is None else "Training report",
        name=text(folder.resolve().name),
        verdict=text(summary.verdict(evaluation)),
        remarks="".join(f"<p>{text(line)}</p>" for line in remarks),
        facts=_facts(summary.facts(evaluation, config)),
        missing=_missing(missing),
        sample_width=f"{min(max(widest, 320), 580)}px",
        sections="".join(sections),
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


def _section(title: str, body: str, footnote: str = "", kind: str = "") -> str:
    below = f'<p class="footnote">{text(footnote)}</p>' if footnote else ""
    opening = f'<section class="{kind}">' if kind else "<section>"
    return f"{opening}<h2>{text(title)}</h2>{body}{below}</section>"


# ---------------------------------------------------------------------------- sections


def _evaluated(
    results: Results, shown: dict[str, list[Sample]], samples: Sequence[Sample]
) -> list[str]:
    rows, metric = results.rows, tables.gain_metric(results.means)
    numbers = itertools.count()
    sections = [
        _section("Image quality", _quality(results), QUALITY_FOOTNOTE, "quality"),
        _distribution(rows, metric),
    ]
    if results.evaluation and results.evaluation.identical < results.evaluation.settings.images:
        deciles = results.evaluation.deciles
        note = deciles["note"] if deciles else ""
        body = tables.deciles(deciles)
        sections.append(_section("Blurriest and sharpest tenth", body, note, "quality"))
    for part, (title, rank) in PARTS.items():
        if shown[part]:
            body = f"<p>The {len(shown[part])} deblurred images of {rank} PSNR. {SLIDER_HINT}</p>"
            body += pictures.sliders(shown[part], rows, metric, numbers)
            sections.append(_section(title, body + pictures.ERROR_FOOTNOTE, PICTURES_FOOTNOTE))
    if samples:
        body = f"<p>Evenly spaced in the set. {SLIDER_HINT}</p>"
        body += pictures.sliders(samples, rows, metric, numbers)
        sections.append(_section("Before and after", body, PICTURES_FOOTNOTE))
    gains = f'<div class="gains">{tables.gains(rows)}</div>'
    details = f"<details><summary>Results per image</summary>{tables.per_image(rows)}</details>"
    return [*sections, _section("Gain of each image", gains + details)]


def _quality(results: Results) -> str:
    identical = results.evaluation and results.evaluation.identical_text
    sentence = f"<p>{text(identical)}.</p>" if identical else ""
    return sentence + tables.quality(results.means)


def _distribution(images: Sequence[dict], gain: str) -> str:
    """Histograms of every metric, with the blurry images as an outline, and of the gain."""
    drawn = []
    for metric, (label, _) in METRICS.items():
        series = {
            kind: [row[key] for row in images if is_number(row.get(key))]
            for kind in ("blurry", "deblurred")
            for key in [f"{metric}_{kind}"]
        }
        series = {kind: values for kind, values in series.items() if values}
        if "deblurred" in series:
            drawn.append(charts.histogram(label, label, series))
    gains = [g for g in (difference(row, gain) for row in images) if is_number(g)]
    if gains:
        drawn.append(charts.histogram("Gain by deblurring", "dB", {"gain": gains}))
    if not drawn:
        return ""
    key = (
        '<p class="key"><span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="outline" '
        'd="M1,11V2H35V11"/></svg>blurry</span><span><svg viewBox="0 0 36 12" aria-hidden="true">'
        '<path class="filled" d="M1,11V2H35V11"/></svg>deblurred, or the gain</span></p>'
    )
    return _section("Distribution", f'{key}<div class="charts">{"".join(drawn)}</div>')


def _trained(val_losses: dict, curves: Curves, config: dict) -> list[str]:
    val = f'<div class="pair">{tables.val(val_losses, stages_of(config))}</div>'
    key = (
        '<p class="key"><span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="training" '
        'd="M0,6H36"/></svg>training (faint: before averaging neighbours)</span><span>'
        '<svg viewBox="0 0 36 12" aria-hidden="true"><path class="val" d="M0,6H36"/>'
        '<circle cx="18" cy="6" r="3"/></svg>val</span></p>'
    )
    footnote = (
        "Before the first and after the last step, on val images, which are not trained on. Lower "
        "is better; psnr_loss is minus the PSNR in dB."
    )
    without_validation = config.get("val") == 0 and not val_losses
    sections = [] if without_validation else [_section("Val losses", val, footnote)]
    return [*sections, _section("Training", key + _curves(curves))]


def _curves(curves: Curves) -> str:
    sections = []
    for stage, scalars in curves.items():
        drawn = {name: charts.curve_chart(name, curve) for name, curve in scalars.items()}
        losses = "".join(f for name, f in drawn.items() if not name.startswith(MACHINERY))
        rest = "".join(f for name, f in drawn.items() if name.startswith(MACHINERY))
        section = f'<h3>{text(STAGES.get(stage, stage))}</h3><div class="charts">{losses}</div>'
        if rest:
            section += (
                "<details><summary>Learning rates, gradient norms, speed</summary>"
                f'<div class="charts">{rest}</div></details>'
            )
        sections.append(section)
    return "".join(sections) or "<p>No curves.</p>"


def _configuration(evaluation: Evaluation | None, config: dict | None) -> str:
    name, shown = "config.json", config
    if config is None:
        name, shown = "Settings", evaluation and dataclasses.asdict(evaluation.settings)
    content = text(json.dumps(shown, indent=2, ensure_ascii=False))
    body = f'<details><summary>{name}</summary><pre tabindex="0">{content}</pre></details>'
    return _section("Configuration", body)
