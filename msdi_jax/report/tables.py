"""The page's tables."""

from collections.abc import Mapping, Sequence

import numpy as np

from msdi_jax.evaluation import aggregate
from msdi_jax.evaluation.protocols import FAILED, METRICS
from msdi_jax.report import charts
from msdi_jax.report.reading import difference
from msdi_jax.report.words import STAGES, is_number, number, plain, significant, text


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, label: str, kind: str = "") -> str:
    """A table of HTML cells; the first cell of a row is its heading."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{text(label)}" tabindex="0">'
        f'<table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def quality(means: Mapping) -> str:
    if not means:
        return "<p>Not evaluated.</p>"
    measured = aggregate.by_metric(means)
    if not measured:
        return _failures(means)
    reblurred = any(values[-1] is not None for _, values in measured)
    head = [
        "",
        "blurry <small>against sharp</small>",
        "deblurred <small>against sharp</small>",
        "change <small>by deblurring</small>",
    ]
    if reblurred:
        head.append("reblurred <small>against blurry</small>")
    rows = [_quality_row(metric, values[: 2 + reblurred], means) for metric, values in measured]
    return table(head, rows, label="Image quality") + _failures(means)


def _quality_row(metric: str, values: Sequence[float | None], means: Mapping) -> list[str]:
    label, digits = METRICS[metric]
    blurry, deblurred, *reblurred = (number(value, digits) for value in values)
    change = number(difference(means, metric), digits, signed=True)
    return [label, blurry, f"<strong>{deblurred}</strong>", change, *reblurred]


def _failures(means: Mapping) -> str:
    failures = {kind: means.get(f"{FAILED}_{kind}") for kind in aggregate.KINDS}
    counts = ", ".join(f"{plain(n)} {kind}" for kind, n in failures.items() if n is not None)
    return counts and f'<p class="footnote">Images that could not be aligned: {counts}.</p>'


def deciles(means: dict | None) -> str:
    if not means:
        return "<p>Not measured: this needs the blurry images.</p>"
    rows = []
    for metric, _ in aggregate.by_metric(means["all"]):
        label, digits = METRICS[metric]
        for kind in ("blurry", "deblurred"):
            values = [means[part].get(f"{metric}_{kind}") for part in aggregate.PARTS]
            rows.append([f"{label}, {kind}", *(number(value, digits) for value in values)])
    images = plain(means["images"])
    head = [
        "",
        f"blurriest 10&nbsp;% <small>{images} images</small>",
        f"sharpest 10&nbsp;% <small>{images} images</small>",
        "all",
    ]
    return table(head, rows, label="Deciles")


def val(losses_by_stage: Mapping, stages: Sequence[str]) -> str:
    return "".join(
        f"<div><h3>{title}</h3>{_val(title, losses_by_stage.get(stage, {}))}</div>"
        for stage, title in STAGES.items()
        if stage in stages
    )


def _val(title: str, losses: dict) -> str:
    initial, final = losses.get("initial", {}), losses.get("final", {})
    rows = []
    for name in initial | final:
        pair = initial.get(name), final.get(name)
        change = pair[1] - pair[0] if all(map(is_number, pair)) else None
        rows.append([text(name), *map(significant, pair), significant(change, signed=True)])
    if not rows:
        return "<p>Not recorded.</p>"
    return table(["loss", "initial", "final", "change"], rows, label=f"Val, {title}")


def per_image(images: Sequence[dict]) -> str:
    if not images:
        return "<p>No per-image results.</p>"
    columns = {
        f"{metric}_{kind}": (f"{label.removesuffix(', dB')} {kind}", digits)
        for metric, (label, digits) in METRICS.items()
        for kind in aggregate.KINDS
        if any(f"{metric}_{kind}" in row for row in images)
    }
    gain = gain_metric(images[0])
    rows = [
        [
            text(row.get("name", "")),
            text(row.get("photograph", "")),
            number(difference(row, gain), signed=True),
            *(number(row.get(key), digits) for key, (_, digits) in columns.items()),
        ]
        for row in images
    ]
    head = ["image", "photograph", "gain, dB", *(label for label, _ in columns.values())]
    return table(head, rows, label="Results per image", kind="sortable")


def gain_metric(row: Mapping) -> str:
    """The PSNR whose gain is shown, of means or of the row of an image."""
    key = aggregate.psnr_key(row, "deblurred")
    return (key or "psnr_deblurred").removesuffix("_deblurred")


def gains(images: Sequence[dict]) -> str:
    """Bars by photograph, then by gain, and a table that is also the legend."""
    metric = gain_metric(images[0] if images else {})
    groups: dict[str, list[tuple[float, str]]] = {}
    for row in images:
        if (gain := difference(row, metric)) is not None:
            group = groups.setdefault(str(row.get("photograph") or "unknown"), [])
            group.append((gain, str(row.get("name", ""))))
    if not groups:
        return "<p>No per-image gains.</p>"
    groups = {name: sorted(groups[name], reverse=True) for name in sorted(groups)}
    legend = [
        _legend_row(min(colour, charts.COLOURS - 1), name, [gain for gain, _ in group])
        for colour, (name, group) in enumerate(groups.items())
    ]
    head = ["photograph", "images", "mean, dB", "min", "max"]
    return charts.gain_bars(list(groups.values())) + table(head, legend, label="Gain by photograph")


def _legend_row(colour: int, name: str, values: Sequence[float]) -> list[str]:
    numbers = (number(summarise(values), signed=True) for summarise in (np.mean, min, max))
    return [f'<i class="swatch c{colour}"></i>{text(name)}', str(len(values)), *numbers]
