"""The head of the page: what the run achieved, and what to make of it."""

from typing import Any

from msdi_jax.evaluation import aggregate
from msdi_jax.report.reading import Curves, difference, per_image
from msdi_jax.report.words import STAGES, count, is_number, number, plain

# The published model, to say how far a short run is from it (Li et al., ECCV 2022, GoPro).
PUBLISHED_PSNR, PUBLISHED_STEPS, PUBLISHED_WIDTH = 33.28, 400_000, 64
SMALL_GAIN = 1.0  # dB
RESTORED = {"whole": "whole (each image in one piece)", "grid": "grid (tile by tile)"}


def verdict(evaluation: dict) -> str:
    """What the run achieved, in one sentence."""
    figure = _figure(evaluation)
    gain = difference(evaluation, figure)
    kind = " ".join(str(evaluation[key]) for key in ("dataset", "split") if evaluation.get(key))
    on = count(evaluation.get("images"), f"{kind} image".strip())
    reached = evaluation.get(f"{figure}_deblurred")
    if gain is None and is_number(reached):
        return f"Deblurred images reach a PSNR of {number(reached)} dB on {on}."
    if gain is None:
        return "This run has no deblurring result yet."
    over = f"the blurry input on {on}"
    if abs(gain) < 0.005:
        return f"Deblurring leaves the PSNR of {over} unchanged."
    word = "gains" if gain > 0 else "loses"
    return f"Deblurring {word} {number(gain, signed=True)} dB over {over}."


def remarks(evaluation: dict, curves: Curves, config: dict) -> list[str]:
    """Sentences below the verdict."""
    figure = _figure(evaluation)
    gain = difference(evaluation, figure)
    if gain is None:
        return _progress(curves)
    found = _spread(per_image(evaluation), figure)
    if gain < SMALL_GAIN and "steps" in evaluation:
        found.append(_short_run(evaluation["steps"].get("deblur"), _width(config)))
    return found


def facts(evaluation: dict, config: dict) -> dict[str, Any]:
    """What was run, by label; None for what is not recorded."""
    width = {"Width": _width(config)}
    if not evaluation:
        return width
    mode, *more = (aggregate.restored(evaluation) or "").split(", ")
    told = {
        "Method": evaluation.get("method"),
        "Data set": evaluation.get("dataset"),
        "Split": evaluation.get("split") or None,
        "Images": evaluation.get("images"),
        "Restored": ", ".join([RESTORED.get(mode, mode), *more]) or None,
        "Scored": ", ".join(evaluation.get("protocols", [])) or None,
    }
    if "steps" not in evaluation:
        return {key: value for key, value in told.items() if value is not None}
    del told["Method"]
    return {
        **told,
        **{f"Steps, {stage}": evaluation["steps"].get(stage) for stage in STAGES},
        **width,
    }


def _width(config: dict) -> Any:
    """Of the network that deblurs: stage 2's may be another than the degradation encoder's."""
    settings = config.get("deblur", {}) if "deblur" in config.get("stages", STAGES) else {}
    return settings.get("width") or config.get("width")


def _figure(evaluation: dict) -> str:
    key = aggregate.psnr_key(evaluation, "deblurred") or "psnr_deblurred"
    return key.removesuffix("_deblurred")


def _progress(curves: Curves) -> list[str]:
    reached = [
        f"{stage} step {max(step for c in scalars.values() for part in c for step in part)}"
        for stage, scalars in curves.items()
        if any(part for c in scalars.values() for part in c)
    ]
    return [f"Last logged: {', '.join(reached)}."] if reached else []


def _spread(images: list[dict], figure: str) -> list[str]:
    gains = [gain for gain in (difference(row, figure) for row in images) if gain is not None]
    if not gains:
        return []
    better = sum(gain > 0 for gain in gains)
    return [
        f"{plain(better)} of {count(len(gains), 'image')} improve; the gain per image runs "
        f"from {number(min(gains), signed=True)} to {number(max(gains), signed=True)} dB."
    ]


def _short_run(steps: Any, width: Any) -> str:
    published = (
        f"The published model reaches {PUBLISHED_PSNR} dB on GoPro after {PUBLISHED_STEPS:,} "
        f"deblurring steps at width {PUBLISHED_WIDTH}"
    )
    if not (is_number(steps) and is_number(width)):
        return f"{published}; how long and how wide this run was is not recorded."
    this = f"this run took {count(steps, 'step')} at width {width}"
    if steps >= PUBLISHED_STEPS and width >= PUBLISHED_WIDTH:
        return f"{published}; {this}, so a short training does not explain the small gain."
    wider = "" if width >= PUBLISHED_WIDTH else ", at a larger width,"
    return (
        f"{published}; {this}. Training it longer{wider} is the next thing to try. "
        "The data sets differ, so their PSNR levels do not compare directly."
    )
