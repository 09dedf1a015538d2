"""The head of the page: the result of the run, and remarks about it."""

from typing import Any

from msdi_jax.evaluation.results_file import Evaluation
from msdi_jax.report import tables
from msdi_jax.report.reading import Curves, Results, difference
from msdi_jax.report.words import count, is_number, number, plain, stages_of

# The published model, with which a short run is compared (Li et al., ECCV 2022, GoPro).
PUBLISHED_PSNR, PUBLISHED_STEPS, PUBLISHED_WIDTH = 33.28, 400_000, 64
SMALL_GAIN = 1.0  # dB
NO_RESULT = "This run has no deblurring result yet."
RESTORED = {"whole": "whole (each image in one piece)", "grid": "grid (tile by tile)"}


def verdict(evaluation: Evaluation | None) -> str:
    """The result of the run, in one sentence."""
    if evaluation is None:
        return NO_RESULT
    means, settings = evaluation.means, evaluation.settings
    metric = tables.gain_metric(means)
    gain, reached = difference(means, metric), means.get(f"{metric}_deblurred")
    on = count(settings.images, f"{settings.set_text} image")
    if gain is None and is_number(reached):
        return f"Deblurred images reach a PSNR of {number(reached)} dB on {on}."
    if evaluation.identical == settings.images:
        return f"Nothing is measured: {evaluation.identical_text}."
    if gain is None:
        return NO_RESULT
    over = f"the blurry input on {on}"
    if abs(gain) < 0.005:
        return f"Deblurring leaves the PSNR of {over} unchanged."
    word = "gains" if gain > 0 else "loses"
    return f"Deblurring {word} {number(gain, signed=True)} dB over {over}."


def remarks(results: Results, curves: Curves, config: dict | None) -> list[str]:
    """Sentences below the verdict."""
    metric = tables.gain_metric(results.means)
    gain = difference(results.means, metric)
    if gain is None:
        return _progress(curves)
    sentences = _spread(results.rows, metric)
    if config is not None and gain < SMALL_GAIN:
        sentences.append(_short_run(_steps(config).get("deblur"), _width(config)))
    return sentences


def facts(evaluation: Evaluation | None, config: dict | None) -> dict[str, Any]:
    """The protocol and the length of training, by label; None where nothing is recorded."""
    run = {}
    if config is not None:
        run = {f"Steps, {stage}": steps for stage, steps in _steps(config).items()}
        run["Width"] = _width(config)
    if evaluation is None:
        return run
    settings = evaluation.settings
    mode, *more = settings.restoration.split(", ")
    protocol = {
        "Method": evaluation.method,
        "Data set": settings.dataset,
        "Configuration": settings.configuration,
        "Split": settings.split,
        "Images": settings.images,
        "Restored": ", ".join([RESTORED.get(mode, mode), *more]),
        "Scored": ", ".join(settings.protocols),
    }
    return {key: value for key, value in protocol.items() if value != ""} | run


def _steps(config: dict) -> dict[str, Any]:
    """Stage → number of steps."""
    return {stage: config.get(stage, {}).get("steps") for stage in stages_of(config)}


def _width(config: dict) -> Any:
    """Of the network that deblurs: stage 2's may differ from the degradation encoder's."""
    settings = config.get("deblur", {}) if "deblur" in stages_of(config) else {}
    return settings.get("width") or config.get("width")


def _progress(curves: Curves) -> list[str]:
    reached = [
        f"{stage} step {max(step for c in scalars.values() for part in c for step in part)}"
        for stage, scalars in curves.items()
        if any(part for c in scalars.values() for part in c)
    ]
    return [f"Last logged: {', '.join(reached)}."] if reached else []


def _spread(images: list[dict], metric: str) -> list[str]:
    gains = [gain for gain in (difference(row, metric) for row in images) if gain is not None]
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
