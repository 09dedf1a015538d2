"""The page itself: its sections put together, and written."""

import importlib.resources
import itertools
import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msdi_jax.evaluation import best_worst
from msdi_jax.evaluation.protocols import FIGURES
from msdi_jax.report import charts, pictures, reading, summary, tables
from msdi_jax.report.reading import Album, Curves, Sample, difference
from msdi_jax.report.words import STAGES, is_number, plain, text
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
PICTURES_FOOTNOTE = (
    f"Shown as JPEG, at most {best_worst.LONGEST_SIDE} pixels long; the numbers come from the "
    "uncompressed pictures."
)


def write_report(folder: Path) -> Path:
    """Writes `report.html` into the directory of a run, finished or not, or of an evaluation.

    Raises:
        ValueError: `folder` is neither, or its description is damaged.
    """
    target = folder / "report.html"
    page = _page(folder)
    with atomic_write(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def _page(folder: Path) -> str:
    config = reading.read_config(folder)
    missing: list[str] = []
    evaluation = reading.read_evaluation(folder, missing)
    album, below = Album(missing), folder / "samples"
    chosen = evaluation.get("extremes", {})
    shown = {
        part: album.extremes(below / "extremes", chosen.get(part, [])) for part in ("worst", "best")
    }
    samples, curves, trained = [], {}, []
    if not reading.is_evaluation(folder):
        samples = album.samples(below, evaluation)
        stages = config.get("stages", STAGES)
        curves = reading.read_metrics(folder / "metrics.jsonl", stages, missing)
        trained = _trained(evaluation, curves)
    widest = max((s.size[0] for s in itertools.chain(samples, *shown.values())), default=0)
    remarks = summary.remarks(evaluation, curves, config)
    sections = [
        *_evaluated(evaluation, shown, samples),
        *trained,
        _configuration(folder, config),
    ]
    template = importlib.resources.files("msdi_jax.report") / "template.html"
    return string.Template(template.read_text(encoding="utf-8")).substitute(
        kind="Evaluation" if reading.is_evaluation(folder) else "Training report",
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
    evaluation: dict, shown: dict[str, list[Sample]], samples: Sequence[Sample]
) -> list[str]:
    images = reading.per_image(evaluation)
    figure = tables.gain_figure(images)
    numbers = itertools.count()
    sections = [
        _section("Image quality", tables.quality(evaluation), QUALITY_FOOTNOTE, "quality"),
        _distribution(images, figure),
    ]
    if evaluation:
        note = (evaluation.get("deciles") or {}).get("note", "")
        body = tables.deciles(evaluation.get("deciles"))
        sections.append(_section("Blurriest and sharpest tenth", body, note, "quality"))
    for part, title, which in (
        ("worst", "Worst images", "lowest"),
        ("best", "Best images", "highest"),
    ):
        if shown[part]:
            told = f"The {len(shown[part])} images of {which} PSNR when deblurred."
            body = f"<p>{told} {SLIDER_HINT}</p>"
            body += pictures.sliders(shown[part], images, figure, numbers)
            sections.append(_section(title, body + pictures.ERROR_FOOTNOTE, PICTURES_FOOTNOTE))
    if samples:
        body = f"<p>Evenly spaced in the set. {SLIDER_HINT}</p>"
        body += pictures.sliders(samples, images, figure, numbers)
        sections.append(_section("Before and after", body, PICTURES_FOOTNOTE))
    gains = f'<div class="gains">{tables.gains(images)}</div>'
    rows = f"<details><summary>Results per image</summary>{tables.per_image(images)}</details>"
    return [*sections, _section("Gain of each image", gains + rows)]


def _distribution(images: Sequence[dict], gain: str) -> str:
    """Histograms of every figure, the blurry images' outlined, and of the gain."""
    drawn = []
    for figure, (label, _) in FIGURES.items():
        series = {
            kind: [row[key] for row in images if is_number(row.get(key))]
            for kind in ("blurry", "deblurred")
            for key in [f"{figure}_{kind}"]
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


def _trained(evaluation: dict, curves: Curves) -> list[str]:
    val = f'<div class="pair">{tables.val(evaluation.get("val_losses", {}))}</div>'
    key = (
        '<p class="key"><span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="training" '
        'd="M0,6H36"/></svg>training (faint: before averaging neighbours)</span><span>'
        '<svg viewBox="0 0 36 12" aria-hidden="true"><path class="val" d="M0,6H36"/>'
        '<circle cx="18" cy="6" r="3"/></svg>val</span></p>'
    )
    footnote = (
        "Before the first and after the last step, on images the training does not see. Lower is "
        "better; psnr_loss is minus the PSNR in dB."
    )
    return [
        _section("Val losses", val, footnote),
        _section("Training", key + _curves(curves)),
    ]


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


def _configuration(folder: Path, config: dict) -> str:
    name = "header.json" if reading.is_evaluation(folder) else "config.json"
    shown = text(json.dumps(config, indent=2, ensure_ascii=False))
    body = f'<details><summary>{name}</summary><pre tabindex="0">{shown}</pre></details>'
    return _section("Configuration", body)
