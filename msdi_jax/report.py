"""One page about a run: `report.html` opens from disk and needs no server and no other file.

Whatever the run directory lacks is named on the page; only `config.json` has to be there.
"""

import base64
import html
import importlib.resources
import io
import json
import math
import os
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

# The published model, to say how far a short run is from it (Li et al., ECCV 2022, GoPro).
PUBLISHED_PSNR, PUBLISHED_STEPS, PUBLISHED_WIDTH = 33.28, 400_000, 64
SMALL_GAIN = 1.0  # dB

STAGES = {"reblur": "Stage 1: reblurring", "deblur": "Stage 2: deblurring"}
ROLES = ("blurry", "deblurred", "sharp", "reblurred")
METRICS = {"psnr": ("PSNR, dB", 2), "ssim_3d": ("ssim_3d", 4), "ssim": ("ssim", 4)}
UNITS = {
    "psnr_loss": "dB",
    "learning_rate": "rate",
    "gradient_norm": "norm",
    "steps_per_second": "steps/s",
}
MACHINERY = ("learning_rate", "gradient_norm", "steps_per_second")

EMBEDDED_BYTES = 9_000_000
LONGEST_SIDE = 1280
COLOURS = 8  # the last one of the page's palette is for all further photographs

# Of a curve: thin line, heavy line.
POINTS, TREND_POINTS = 300, 25
CHART_WIDTH, CHART_HEIGHT = 360, 224
LEFT, RIGHT, TOP, BOTTOM = 50, 350, 22, 184


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
    config = _read_config(run)
    missing: list[str] = []
    evaluation = _read_evaluation(run / "evaluation.json", missing)
    curves = _read_metrics(run / "metrics.jsonl", config.get("stages", STAGES), missing)
    samples = _read_samples(run / "samples", evaluation, missing)
    template = importlib.resources.files("msdi_jax") / "report_template.html"
    widest = max((sample.size[0] for sample in samples), default=0)
    return string.Template(template.read_text(encoding="utf-8")).substitute(
        name=_text(run.resolve().name),
        verdict=_text(verdict(evaluation)),
        remarks="".join(f"<p>{_text(line)}</p>" for line in _remarks(evaluation, curves, config)),
        facts=_facts(evaluation, config),
        missing=_missing(missing),
        metrics=_metrics_table(evaluation),
        held_out=_held_out_tables(evaluation),
        sample_width=f"{min(max(widest, 320), 580)}px",
        samples=_samples(samples, evaluation),
        gains=_gains(_images(evaluation)),
        curves=_curves(curves),
        per_image=_per_image_table(_images(evaluation)),
        config=_text(json.dumps(config, indent=2, ensure_ascii=False)),
    )


# Reading


def _read_config(run: Path) -> dict:
    path = run / "config.json"
    if not path.is_file():
        raise ValueError(
            f"{run} is not a run directory: no config.json; give the --workdir of a launch.py run"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); restore it or run again") from error


def _read_evaluation(path: Path, missing: list[str]) -> dict:
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


def _read_metrics(path: Path, stages: Iterable[str], missing: list[str]) -> Curves:
    if not path.is_file():
        missing.append("metrics.jsonl: no training curves")
        return {}
    curves: Curves = {}
    unreadable = infinite = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            stage, step = str(row.pop("stage")), int(row.pop("step"))
        except (ValueError, KeyError, TypeError, AttributeError):
            unreadable += bool(line.strip())
            continue
        for key, value in row.items():
            curve = curves.setdefault(stage, {}).setdefault(
                key.removeprefix("held_out/"), Curve({}, {})
            )
            if not _is_number(value):
                infinite += 1
            elif key.startswith("held_out/"):
                curve.held_out[step] = value
            else:
                # A resumed run repeats steps; the later line is the one that counts.
                curve.training[step] = value
    if unreadable:
        missing.append(f"metrics.jsonl: {_count(unreadable, 'unreadable line')} left out")
    if infinite:
        missing.append(f"metrics.jsonl: {_count(infinite, 'value')} not finite, not drawn")
    absent = [name for name in stages if name not in curves]
    if absent:
        missing.append(f"metrics.jsonl has no rows of stage {', '.join(absent)}")
    return curves


def _read_samples(folder: Path, evaluation: dict, missing: list[str]) -> list[Sample]:
    """Samples in the order of `evaluation`, as many as fit into `EMBEDDED_BYTES`."""
    found = sorted(path.name.removesuffix("-blurry.png") for path in folder.glob("*-blurry.png"))
    listed = [str(name) for name in evaluation.get("samples", [])]
    missing += [f"samples/{name}-blurry.png" for name in listed if name not in found]
    if not found:
        missing.append("samples: no pictures")
    samples, left = [], EMBEDDED_BYTES
    for name in [name for name in listed if name in found] + sorted({*found} - {*listed}):
        sample = _read_sample(folder, name, missing)
        left -= sum(map(len, sample.pictures.values()))
        if left < 0:
            missing.append(f"samples: {name} and later ones, to keep this page small")
            break
        if "blurry" in sample.pictures and len(sample.pictures) > 1:
            samples.append(sample)
    return samples


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


# Words and numbers


def verdict(evaluation: dict) -> str:
    """What the run achieved, in one sentence."""
    gain = _difference(evaluation, "psnr")
    if gain is None:
        return "This run has no deblurring result yet."
    kind = " ".join(str(evaluation[key]) for key in ("dataset", "split") if key in evaluation)
    over = f"the blurry input on {_count(evaluation.get('images'), f'{kind} image'.strip())}"
    if abs(gain) < 0.005:
        return f"Deblurring leaves the PSNR of {over} unchanged."
    word = "gains" if gain > 0 else "loses"
    return f"Deblurring {word} {_number(gain, signed=True)} dB over {over}."


def _remarks(evaluation: dict, curves: Curves, config: dict) -> list[str]:
    gain = _difference(evaluation, "psnr")
    if gain is None:
        reached = [
            f"{stage} step {max(step for c in scalars.values() for part in c for step in part)}"
            for stage, scalars in curves.items()
            if any(part for c in scalars.values() for part in c)
        ]
        return [f"Last logged: {', '.join(reached)}."] if reached else []
    remarks = []
    gains = [g for g in (_difference(row, "psnr") for row in _images(evaluation)) if g is not None]
    if gains:
        better = sum(g > 0 for g in gains)
        remarks.append(
            f"{_plain(better)} of {_count(len(gains), 'image')} improve; the gain per image runs "
            f"from {_number(min(gains), signed=True)} to {_number(max(gains), signed=True)} dB."
        )
    if gain < SMALL_GAIN:
        remarks.append(_short_run(evaluation.get("steps", {}).get("deblur"), config.get("width")))
    return remarks


def _short_run(steps: Any, width: Any) -> str:
    published = (
        f"The published model reaches {PUBLISHED_PSNR} dB on GoPro after {PUBLISHED_STEPS:,} "
        f"deblurring steps at width {PUBLISHED_WIDTH}"
    )
    if not (_is_number(steps) and _is_number(width)):
        return f"{published}; how long and how wide this run was is not recorded."
    this = f"this run took {_count(steps, 'step')} at width {width}"
    if steps >= PUBLISHED_STEPS and width >= PUBLISHED_WIDTH:
        return f"{published}; {this}, so a short training does not explain the small gain."
    wider = "" if width >= PUBLISHED_WIDTH else ", at a larger width,"
    return (
        f"{published}; {this}. Training it longer{wider} is the next thing to try. "
        "The data sets differ, so their PSNR levels do not compare directly."
    )


def _facts(evaluation: dict, config: dict) -> str:
    meaning = {"whole": "whole (each image in one piece)", "grid": "grid (tile by tile)"}
    facts = {"Width": config.get("width")}
    if evaluation:
        protocol = evaluation.get("protocol")
        facts = {
            "Data set": evaluation.get("dataset"),
            "Split": evaluation.get("split"),
            "Images": evaluation.get("images"),
            "Protocol": meaning.get(protocol, protocol),
            **{f"Steps, {stage}": evaluation.get("steps", {}).get(stage) for stage in STAGES},
            **facts,
        }
    return "".join(
        f"<div><dt>{_text(key)}</dt><dd>{_text(_plain(value))}</dd></div>"
        for key, value in facts.items()
    )


def _missing(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    items = "".join(f"<li>{_text(item)}</li>" for item in missing)
    return f'<aside class="notice"><h2>Missing or unreadable</h2><ul>{items}</ul></aside>'


def _text(value: Any) -> str:
    return html.escape(str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number(value: Any, digits: int = 2, *, signed: bool = False) -> str:
    """Fixed digits with a true minus sign; a dash for what is not a finite number."""
    if not _is_number(value):
        return "∞" if value == math.inf else "–"
    # Adding 0.0 turns a rounded −0.00 into 0.00.
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def _significant(value: Any, *, signed: bool = False) -> str:
    if not _is_number(value):
        return _number(value)
    return f"{value:{'+' if signed else ''}.4g}".replace("-", "−")


def _plain(value: Any) -> str:
    if value is None:
        return "not recorded"
    return f"{value:,}" if _is_number(value) else str(value)


def _count(number: Any, noun: str) -> str:
    if number is None:
        return f"{noun}s"
    return f"{_plain(number)} {noun}{'' if number == 1 else 's'}"


def _difference(row: dict, metric: str) -> float | None:
    pair = row.get(f"{metric}_deblurred"), row.get(f"{metric}_blurry")
    return pair[0] - pair[1] if all(map(_is_number, pair)) else None


def _images(evaluation: dict) -> list[dict]:
    return evaluation.get("per_image", [])


# Tables


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
        f'<div class="scroll" role="region" aria-label="{_text(label)}" tabindex="0">'
        f'<table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _metrics_table(evaluation: dict) -> str:
    if not evaluation:
        return "<p>Not evaluated.</p>"
    rows = [
        [
            label,
            _number(evaluation.get(f"{metric}_blurry"), digits),
            f"<strong>{_number(evaluation.get(f'{metric}_deblurred'), digits)}</strong>",
            _number(_difference(evaluation, metric), digits, signed=True),
            _number(evaluation.get(f"{metric}_reblurred"), digits),
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


def _held_out_tables(evaluation: dict) -> str:
    tables = []
    for stage, title in STAGES.items():
        losses = evaluation.get("held_out", {}).get(stage, {})
        initial, final = losses.get("initial", {}), losses.get("final", {})
        rows = []
        for name in initial | final:
            pair = initial.get(name), final.get(name)
            change = pair[1] - pair[0] if all(map(_is_number, pair)) else None
            cells = [*map(_significant, pair), _significant(change, signed=True)]
            rows.append([_text(name), *cells])
        table = "<p>Not recorded.</p>"
        if rows:
            table = _table(["loss", "initial", "final", "change"], rows, label=f"Held-out, {title}")
        tables.append(f"<div><h3>{title}</h3>{table}</div>")
    return "".join(tables)


def _per_image_table(images: Sequence[dict]) -> str:
    if not images:
        return "<p>No per-image results.</p>"
    head, columns = ["image", "photograph"], []
    for metric, (label, digits) in METRICS.items():
        for role in ("blurry", "deblurred", "reblurred"):
            if any(f"{metric}_{role}" in row for row in images):
                head.append(f"{label.split(',')[0]} {role}")
                columns.append((f"{metric}_{role}", digits))
    rows = [
        [
            _text(row.get("name", "")),
            _text(row.get("photograph", "")),
            _number(_difference(row, "psnr"), signed=True),
            *(_number(row.get(key), digits) for key, digits in columns),
        ]
        for row in images
    ]
    head.insert(2, "gain, dB")
    return _table(head, rows, label="Results per image", kind="sortable")


# Pictures and charts


def _samples(samples: Sequence[Sample], evaluation: dict) -> str:
    if not samples:
        return "<p>No sample pictures.</p>"
    results = {str(row.get("name")): row for row in _images(evaluation)}
    return "".join(
        _slider(index, sample, results.get(sample.name, {})) for index, sample in enumerate(samples)
    )


def _slider(index: int, sample: Sample, result: dict) -> str:
    """The blurry picture on the left of a movable line, one of the others on its right."""
    name = _text(sample.name)
    width, height = sample.size
    right = [role for role in ROLES[1:] if role in sample.pictures]
    images = "".join(
        f'<img class="{role}" src="{sample.pictures[role]}" alt="{name}, {role}" '
        f'width="{width}" height="{height}">'
        for role in [*right, "blurry"]
    )
    tags = "".join(f'<span class="tag other {role}">{role}</span>' for role in right)
    choices = "".join(
        f'<label><input type="radio" name="right-{index}" value="{role}"'
        f"{' checked' if role == right[0] else ''}>{role}</label>"
        for role in right
    )
    caption = f"<strong>{name}</strong>"
    if (gain := _difference(result, "psnr")) is not None:
        caption += (
            f" <span>PSNR {_number(result['psnr_blurry'])} → "
            f"{_number(result['psnr_deblurred'])} dB ({_number(gain, signed=True)})</span>"
        )
    return (
        f'<figure class="slider"><div class="frame" style="aspect-ratio:{width}/{height}">{images}'
        '<span class="line" aria-hidden="true"></span><span class="tag">blurry</span>'
        f"{tags}"
        '<input type="range" min="0" max="100" value="50" '
        f'aria-label="{name}: per cent of the width that shows the blurry picture"></div>'
        f"<fieldset><legend>Right of the line</legend>{choices}</fieldset>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _gains(images: Sequence[dict]) -> str:
    """Bars by photograph, then by gain; beside them a table that is also the legend."""
    groups: dict[str, list[tuple[float, str]]] = {}
    for row in images:
        if (gain := _difference(row, "psnr")) is not None:
            group = groups.setdefault(str(row.get("photograph", "unknown")), [])
            group.append((gain, str(row.get("name", ""))))
    if not groups:
        return "<p>No per-image gains.</p>"
    groups = {name: sorted(groups[name], reverse=True) for name in sorted(groups)}
    legend = []
    for colour, (name, group) in enumerate(groups.items()):
        gains = [gain for gain, _ in group]
        swatch = f'<i class="swatch c{min(colour, COLOURS - 1)}"></i>{_text(name)}'
        summary = (_number(f(gains), signed=True) for f in (np.mean, min, max))
        legend.append([swatch, str(len(gains)), *summary])
    head = ["photograph", "images", "mean, dB", "min", "max"]
    return _bars(list(groups.values())) + _table(head, legend, label="Gain by photograph")


def _bars(groups: Sequence[Sequence[tuple[float, str]]]) -> str:
    """A bar per (gain, name), a colour per group."""
    bars = [
        (gain, name, min(colour, COLOURS - 1))
        for colour, group in enumerate(groups)
        for gain, name in group
    ]
    low, high = min(bars)[0], max(bars)[0]
    axes = Axes((0, len(bars)), _padded([0.0, low, high]))
    drawing = axes.grid("images by photograph, largest gain first", "gain, dB")
    drawing += "".join(
        f'<rect class="c{colour}" x="{axes.x(i + 0.1):.2f}" width="{axes.x(0.8) - LEFT:.2f}" '
        f'y="{axes.y(max(gain, 0)):.1f}" height="{abs(axes.y(gain) - axes.y(0)):.1f}">'
        f"<title>{_text(name)}: {_number(gain, signed=True)} dB</title></rect>"
        for i, (gain, name, colour) in enumerate(bars)
    )
    drawing += f'<path class="zero" d="M{LEFT},{axes.y(0):.1f}H{RIGHT}"/>'
    extremes = f"{_number(low, signed=True)} to {_number(high, signed=True)} dB"
    return _svg(drawing, f"PSNR gain of {_count(len(bars), 'image')}, from {extremes}")


def _curves(curves: Curves) -> str:
    sections = []
    for stage, scalars in curves.items():
        charts = {name: _chart(name, curve) for name, curve in scalars.items()}
        losses = "".join(c for name, c in charts.items() if not name.startswith(MACHINERY))
        rest = "".join(c for name, c in charts.items() if name.startswith(MACHINERY))
        section = f'<h3>{_text(STAGES.get(stage, stage))}</h3><div class="charts">{losses}</div>'
        if rest:
            section += (
                "<details><summary>Learning rates, gradient norms, speed</summary>"
                f'<div class="charts">{rest}</div></details>'
            )
        sections.append(section)
    return "".join(sections) or "<p>No curves.</p>"


class Axes(NamedTuple):
    """Data range of a chart; with `log`, `y_range` is in powers of ten."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log: bool = False

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (RIGHT - LEFT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        value = math.log10(value) if self.log else value
        return BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP)

    def grid(self, x_label: str, y_label: str) -> str:
        parts = [
            f'<text x="{RIGHT}" y="{CHART_HEIGHT - 5}" class="end">{_text(x_label)}</text>',
            f'<text x="2" y="12">{_text(y_label)}</text>',
        ]
        for tick, label in _ticks(*self.x_range, whole=True):
            x = self.x(tick)
            parts.append(f'<path d="M{x:.1f},{BOTTOM}v4"/>')
            parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 17}" class="middle">{label}</text>')
        for tick, label in _ticks(*self.y_range, whole=self.log):
            if self.log:
                tick, label = 10.0**tick, f"{10.0**tick:g}"
            y = self.y(tick)
            parts.append(f'<path d="M{LEFT},{y:.1f}H{RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{label}</text>')
        return f'<g class="grid">{"".join(parts)}</g>'


def _chart(name: str, curve: Curve) -> str:
    values = [*curve.training.values(), *curve.held_out.values()]
    if not values:
        return f"<p>{_text(name)}: no finite value.</p>"
    steps = sorted({*curve.training, *curve.held_out})
    log = min(values) > 0 and max(values) > 100 * min(values) and "learning_rate" not in name
    axes = Axes(
        (min(0, steps[0]), max(1, steps[-1])), _padded(np.log10(values) if log else values), log
    )
    layers, words = [], []
    for kind, points in (("training", curve.training), ("held-out", curve.held_out)):
        if not points:
            continue
        ordered = sorted(points.items())
        noisy = kind == "training" and len(ordered) >= 2 * TREND_POINTS
        layers.append(_path(axes, _thinned(ordered, POINTS), "noise" if noisy else kind))
        if noisy:
            layers.append(_path(axes, _thinned(ordered, TREND_POINTS), kind))
        if kind == "held-out":
            layers += [
                f'<circle cx="{axes.x(s):.1f}" cy="{axes.y(v):.1f}" r="3"/>'
                for s, v in _thinned(ordered, TREND_POINTS)
            ]
        (first, start), (last, end) = ordered[0], ordered[-1]
        words.append(f"{kind} {start:.4g} at step {first}, {end:.4g} at step {last}")
    unit = next((unit for key, unit in UNITS.items() if name.startswith(key)), "loss")
    drawing = axes.grid("step", f"{unit}, log scale" if log else unit) + "".join(layers)
    picture = _svg(drawing, f"{name}: {'; '.join(words)}")
    return f'<figure class="chart"><figcaption>{_text(name)}</figcaption>{picture}</figure>'


def _svg(drawing: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" role="img" aria-label="{_text(label)}">'
        f"{drawing}</svg>"
    )


def _path(axes: Axes, points: Sequence[tuple[float, float]], kind: str) -> str:
    line = " ".join(f"{axes.x(step):.1f},{axes.y(value):.1f}" for step, value in points)
    return f'<polyline class="{kind}" points="{line}"/>'


def _thinned(points: Sequence[tuple[int, float]], most: int) -> list[tuple[float, float]]:
    """Means of neighbours when there are more than `most` points."""
    if len(points) <= most:
        return list(points)
    return [tuple(part.mean(0)) for part in np.array_split(np.asarray(points, float), most)]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = float(min(values)), float(max(values))
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _ticks(low: float, high: float, *, whole: bool = False) -> list[tuple[float, str]]:
    """Four to seven round values in the range, with labels."""
    rough = (high - low) / 7
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    step = max(step, 1.0) if whole else step
    digits = max(0, -math.floor(math.log10(step)))
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ticks = [n * step for n in numbers]
    if max(abs(low), abs(high)) >= 10_000:
        labels = [f"{tick / 1000:g}k" if tick else "0" for tick in ticks]
    elif digits > 3:
        labels = [f"{tick:g}" for tick in ticks]
    else:
        labels = [f"{tick + 0.0:.{digits}f}" for tick in ticks]
    return [(tick, label.replace("-", "−")) for tick, label in zip(ticks, labels, strict=True)]
