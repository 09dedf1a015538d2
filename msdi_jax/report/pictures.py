"""Sliders: one picture on the left of a movable line, a choice of others on its right."""

from collections.abc import Iterator, Sequence

from msdi_jax.evaluation import best_worst
from msdi_jax.report.reading import Sample, difference
from msdi_jax.report.words import number, text

ERROR_FOOTNOTE = (
    '<p class="footnote scale"><i class="inferno" aria-hidden="true"></i>error: the mean absolute '
    f"difference from the sharp image over the channels, from 0 to {best_worst.BRIGHTEST} of 255 "
    "levels and more; the same scale for all images.</p>"
)


def sliders(
    samples: Sequence[Sample], images: Sequence[dict], metric: str, numbers: Iterator[int]
) -> str:
    """The HTML of all sliders.

    Args:
        samples: to show, in this order.
        images: rows per image, for the captions.
        metric: the PSNR in the captions.
        numbers: for the names of the buttons, none twice on a page.
    """
    results = {str(row.get("name")): row for row in images}
    parts = (_slider(next(numbers), s, results.get(s.name, {}), metric) for s in samples)
    return f'<div class="samples">{"".join(parts)}</div>' if samples else ""


def _slider(index: int, sample: Sample, result: dict, metric: str) -> str:
    name = text(sample.name)
    width, height = sample.size
    left, *right = sample.pictures
    images = "".join(
        f'<img class="{"left" if role == left else role}" src="{sample.pictures[role]}" '
        f'alt="{name}, {role}" width="{width}" height="{height}">'
        for role in [*right, left]
    )
    tags = "".join(f'<span class="tag other {role}">{role}</span>' for role in right)
    return (
        f'<figure class="slider"><div class="frame" style="aspect-ratio:{width}/{height}">{images}'
        f'<span class="line" aria-hidden="true"></span><span class="tag">{left}</span>'
        f"{tags}"
        '<input type="range" min="0" max="100" value="50" '
        f'aria-label="{name}: per cent of the width that shows the {left} picture"></div>'
        f"<fieldset><legend>Right of the line</legend>{_choices(index, right)}</fieldset>"
        f"<figcaption>{_caption(name, result, metric)}</figcaption></figure>"
    )


def _choices(index: int, roles: Sequence[str]) -> str:
    return "".join(
        f'<label><input type="radio" name="right-{index}" value="{role}"'
        f"{' checked' if role == roles[0] else ''}>{role}</label>"
        for role in roles
    )


def _caption(name: str, result: dict, metric: str) -> str:
    caption = f"<strong>{name}</strong>"
    deblurred = number(result.get(f"{metric}_deblurred"))
    if (gain := difference(result, metric)) is not None:
        blurry = number(result[f"{metric}_blurry"])
        caption += f" <span>PSNR {blurry} → {deblurred} dB ({number(gain, signed=True)})</span>"
    elif result:
        caption += f" <span>PSNR {deblurred} dB</span>"
    return caption
