"""The page's tables."""

from collections.abc import Sequence

import numpy as np

from msdi_jax.evaluation import aggregate
from msdi_jax.evaluation.protocols import FAILED, FIGURES
from msdi_jax.report import charts
from msdi_jax.report.reading import difference
from msdi_jax.report.words import STAGES, is_number, number, plain, significant, text


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, label: str, kind: str = "") -> str:
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


def quality(evaluation: dict) -> str:
    if not evaluation:
        return "<p>Not evaluated.</p>"
    measured = aggregate.measured(evaluation)
    reblurred = any(values[-1] is not None for _, values in measured)
    head = [
        "",
        "blurry <small>against sharp</small>",
        "deblurred <small>against sharp</small>",
        "change <small>by deblurring</small>",
    ]
    if reblurred:
        head.append("reblurred <small>against blurry</small>")
    rows = [
        _quality_row(figure, values[: 2 + reblurred], evaluation) for figure, values in measured
    ]
    return table(head, rows, label="Image quality") + _failures(evaluation)


def _quality_row(figure: str, values: Sequence[float | None], evaluation: dict) -> list[str]:
    label, digits = FIGURES[figure]
    blurry, deblurred, *reblurred = (number(value, digits) for value in values)
    change = number(difference(evaluation, figure), digits, signed=True)
    return [label, blurry, f"<strong>{deblurred}</strong>", change, *reblurred]


def _failures(evaluation: dict) -> str:
    found = {kind: evaluation.get(f"{FAILED}_{kind}") for kind in aggregate.KINDS}
    told = ", ".join(f"{plain(n)} {kind}" for kind, n in found.items() if n is not None)
    return told and f'<p class="footnote">Images that could not be aligned: {told}.</p>'


def deciles(found: dict | None) -> str:
    if not found:
        return "<p>Not measured: it takes the blurry images.</p>"
    parts = ("blurriest", "sharpest", "all")
    rows = []
    for figure, _ in aggregate.measured(found["all"]):
        label, digits = FIGURES[figure]
        for kind in ("blurry", "deblurred"):
            values = [found[part].get(f"{figure}_{kind}") for part in parts]
            rows.append([f"{label}, {kind}", *(number(value, digits) for value in values)])
    images = plain(found["images"])
    head = [
        "",
        f"blurriest 10&nbsp;% <small>{images} images</small>",
        f"sharpest 10&nbsp;% <small>{images} images</small>",
        "all",
    ]
    return table(head, rows, label="Deciles")


def val(losses_by_stage: dict) -> str:
    return "".join(
        f"<div><h3>{title}</h3>{_val(title, losses_by_stage.get(stage, {}))}</div>"
        for stage, title in STAGES.items()
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
        f"{figure}_{kind}": (f"{label.removesuffix(', dB')} {kind}", digits)
        for figure, (label, digits) in FIGURES.items()
        for kind in aggregate.KINDS
        if any(f"{figure}_{kind}" in row for row in images)
    }
    gain = gain_figure(images)
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


def gain_figure(images: Sequence[dict]) -> str:
    """The PSNR whose gain is told."""
    key = aggregate.psnr_key(images[0], "deblurred") if images else None
    return (key or "psnr_deblurred").removesuffix("_deblurred")


def gains(images: Sequence[dict]) -> str:
    """Bars by photograph, then by gain; beside them a table that is also the legend."""
    figure = gain_figure(images)
    groups: dict[str, list[tuple[float, str]]] = {}
    for row in images:
        if (gain := difference(row, figure)) is not None:
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


def _legend_row(colour: int, name: str, found: Sequence[float]) -> list[str]:
    numbers = (number(summarise(found), signed=True) for summarise in (np.mean, min, max))
    return [f'<i class="swatch c{colour}"></i>{text(name)}', str(len(found)), *numbers]
