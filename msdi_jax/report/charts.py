"""Charts as inline SVG: histograms, bars of gains, curves of losses."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from msdi_jax.report.reading import Curve
from msdi_jax.report.words import count, number, text

UNITS = {
    "psnr_loss": "dB",
    "learning_rate": "rate",
    "gradient_norm": "norm",
    "steps_per_second": "steps/s",
}
COLOURS = 8  # the last one of the page's palette is for all further groups

# Of a curve: thin line, heavy line.
POINTS, TREND_POINTS = 300, 25
WIDTH, HEIGHT = 360, 224
LEFT, RIGHT, TOP, BOTTOM = 50, 350, 22, 184

Points = Sequence[tuple[float, float]]


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

    def grid(self, x_label: str, y_label: str, *, counts: str = "x") -> str:
        """`counts`: the axis, x or y, that has no fractions."""
        parts = [
            f'<text x="{RIGHT}" y="{HEIGHT - 5}" class="end">{text(x_label)}</text>',
            f'<text x="2" y="12">{text(y_label)}</text>',
        ]
        for tick, label in ticks(*self.x_range, whole=counts == "x"):
            x = self.x(tick)
            parts.append(f'<path d="M{x:.1f},{BOTTOM}v4"/>')
            parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 17}" class="middle">{label}</text>')
        for tick, label in ticks(*self.y_range, whole=self.log or counts == "y"):
            if self.log:
                tick, label = 10.0**tick, f"{10.0**tick:g}"
            y = self.y(tick)
            parts.append(f'<path d="M{LEFT},{y:.1f}H{RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{label}</text>')
        return f'<g class="grid">{"".join(parts)}</g>'


def histogram(label: str, unit: str, series: dict[str, Sequence[float]]) -> str:
    """Number of images by value: the last series filled, the outlines of the others over it.

    Args:
        label: the chart's caption.
        unit: of the horizontal axis.
        series: name → finite values per image, at least one of them.
    """
    edges = bin_edges([value for values in series.values() for value in values])
    counts = {name: np.histogram(values, edges)[0] for name, values in series.items()}
    most = max(bins.max() for bins in counts.values())
    axes = Axes((edges[0], edges[-1]), (0.0, 1.05 * most))
    drawing = axes.grid(unit, "images", counts="y")
    for place, bins in enumerate(reversed(counts.values())):
        kind = "outline" if place else "filled"
        drawing += f'<path class="{kind}" d="{_steps(axes, edges, bins)}"/>'
    words = "; ".join(
        f"{name} mean {np.mean(values):.4g}, from {min(values):.4g} to {max(values):.4g}"
        for name, values in series.items()
    )
    picture = _svg(drawing, f"Histogram of {label}: {words}")
    return f'<figure class="chart"><figcaption>{text(label)}</figcaption>{picture}</figure>'


def bin_edges(values: Sequence[float]) -> np.ndarray:
    """Round numbers; 6 to 40 bins, more for more values."""
    low, high = min(values), max(values)
    wanted = np.clip(1.5 * math.sqrt(len(values)), 6, 40)
    step = _round_step((high - low) / wanted or max(abs(high), 1) / 100)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    return np.arange(first, last + 1) * step


def _steps(axes: Axes, edges: Sequence[float], counts: Sequence[int]) -> str:
    """The outline of a histogram, from the base line up and down again."""
    path = f"M{axes.x(edges[0]):.1f},{axes.y(0):.1f}"
    for right, height in zip(edges[1:], counts, strict=True):
        path += f"V{axes.y(height):.1f}H{axes.x(right):.1f}"
    return path + f"V{axes.y(0):.1f}"


def gain_bars(groups: Sequence[Sequence[tuple[float, str]]]) -> str:
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
        f"<title>{text(name)}: {number(gain, signed=True)} dB</title></rect>"
        for i, (gain, name, colour) in enumerate(bars)
    )
    drawing += f'<path class="zero" d="M{LEFT},{axes.y(0):.1f}H{RIGHT}"/>'
    limits = f"{number(low, signed=True)} to {number(high, signed=True)} dB"
    return _svg(drawing, f"PSNR gain of {count(len(bars), 'image')}, from {limits}")


def curve_chart(name: str, curve: Curve) -> str:
    """The training and val values of a scalar by step."""
    if not (curve.training or curve.val):
        return f"<p>{text(name)}: no finite value.</p>"
    axes = _axes(name, curve)
    unit = next((unit for key, unit in UNITS.items() if name.startswith(key)), "loss")
    drawing = axes.grid("step", f"{unit}, log scale" if axes.log else unit)
    words = []
    for kind, values in (("training", curve.training), ("val", curve.val)):
        if not values:
            continue
        points = sorted(values.items())
        drawing += _training(axes, points) if kind == "training" else _val(axes, points)
        (first, start), (last, end) = points[0], points[-1]
        words.append(f"{kind} {start:.4g} at step {first}, {end:.4g} at step {last}")
    picture = _svg(drawing, f"{name}: {'; '.join(words)}")
    return f'<figure class="chart"><figcaption>{text(name)}</figcaption>{picture}</figure>'


def _axes(name: str, curve: Curve) -> Axes:
    values = [*curve.training.values(), *curve.val.values()]
    steps = {*curve.training, *curve.val}
    log = min(values) > 0 and max(values) > 100 * min(values) and "learning_rate" not in name
    y_range = _padded(np.log10(values) if log else values)
    return Axes((min(0, *steps), max(1, *steps)), y_range, log)


def _training(axes: Axes, points: Points) -> str:
    """A line; for many points a faint one, with their trend over it."""
    noisy = len(points) >= 2 * TREND_POINTS
    line = _line(axes, _thinned(points, POINTS), "noise" if noisy else "training")
    return line + (_line(axes, _thinned(points, TREND_POINTS), "training") if noisy else "")


def _val(axes: Axes, points: Points) -> str:
    dots = (
        f'<circle cx="{axes.x(step):.1f}" cy="{axes.y(value):.1f}" r="3"/>'
        for step, value in _thinned(points, TREND_POINTS)
    )
    return _line(axes, _thinned(points, POINTS), "val") + "".join(dots)


def _line(axes: Axes, points: Points, kind: str) -> str:
    line = " ".join(f"{axes.x(step):.1f},{axes.y(value):.1f}" for step, value in points)
    return f'<polyline class="{kind}" points="{line}"/>'


def _svg(drawing: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(label)}">{drawing}</svg>'
    )


def _thinned(points: Points, most: int) -> Points:
    """Means of neighbours when there are more than `most` points."""
    if len(points) <= most:
        return points
    return [tuple(part.mean(0)) for part in np.array_split(np.asarray(points, float), most)]


def _padded(values: Sequence[float]) -> tuple[float, float]:
    low, high = float(min(values)), float(max(values))
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def ticks(low: float, high: float, *, whole: bool = False) -> list[tuple[float, str]]:
    """Four to seven round values in the range, with labels."""
    step = _round_step((high - low) / 7)
    step = max(step, 1.0) if whole else step
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    values = [n * step for n in numbers]
    digits = max(0, -math.floor(math.log10(step)))
    if max(abs(low), abs(high)) >= 10_000:
        labels = [f"{tick / 1000:g}k" if tick else "0" for tick in values]
    elif digits > 3:
        labels = [f"{tick:g}" for tick in values]
    else:
        labels = [f"{tick + 0.0:.{digits}f}" for tick in values]
    return [(tick, label.replace("-", "−")) for tick, label in zip(values, labels, strict=True)]


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * 0.999)
