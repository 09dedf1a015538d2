"""An evaluation as text for people; no metric is called just "SSIM"."""

from msdi_jax.evaluation import aggregate, reported_results
from msdi_jax.evaluation.protocols import FAILED, METRICS
from msdi_jax.evaluation.reported_results import PublishedRow
from msdi_jax.evaluation.results_file import Evaluation


def results_text(evaluation: Evaluation) -> str:
    """The protocol, the means, and if present deciles, published results and losses."""
    lines = [", on ".join(filter(None, (evaluation.method, evaluation.settings.text)))]
    lines += _mean_lines(evaluation) + _decile_lines(evaluation.deciles)
    lines += ["", *_published_lines(evaluation)]
    lines += _other_weights_lines(evaluation) + _loss_lines(evaluation)
    return "\n".join(lines)


def _mean_lines(evaluation: Evaluation) -> list[str]:
    means, images = evaluation.means, evaluation.settings.images
    kinds = [kind for kind in aggregate.KINDS if aggregate.psnr_key(means, kind)]
    measured = aggregate.by_metric(means)
    lines = [_line("", *kinds)] if measured else []
    for metric, values in measured:
        label, digits = METRICS[metric]
        lines.append(_line(label, *(_number(v, digits) for v in values if v is not None)))
    for kind in kinds:
        if (failed := means.get(f"{FAILED}_{kind}")) is not None:
            lines.append(f"alignment failed on {failed} of {images} {kind} images")
    return lines + [evaluation.identical_text] * bool(evaluation.identical)


def _decile_lines(deciles: dict | None) -> list[str]:
    if deciles is None:
        return []
    title = f"{deciles['images']} blurriest and sharpest images, deblurred"
    lines = ["", title, _line("", *aggregate.PARTS)]
    for metric, _ in aggregate.by_metric(deciles["all"]):
        label, digits = METRICS[metric]
        values = [deciles[part].get(f"{metric}_deblurred") for part in aggregate.PARTS]
        lines.append(_line(label, *(_number(value, digits) for value in values)))
    return [*lines, deciles["note"]]


def _published_lines(evaluation: Evaluation) -> list[str]:
    if evaluation.reported is None:
        return ["published: no result of this method on this set"]
    row, means = PublishedRow(**evaluation.reported), evaluation.means
    where = f"{row.dataset}, {reported_results.IMAGES[row.dataset]} images"
    if not reported_results.is_complete(row, evaluation.settings):
        return [f"published: not comparable; the published result is of {where}"]
    if options := reported_results.options_to_compare(row, evaluation.settings, means):
        return [f"published: not comparable; a comparison takes {' '.join(options)}"]
    if evaluation.identical == evaluation.settings.images:
        return ["published: not comparable, since all pairs are identical"]
    psnr, ssim = (means.get(f"{m}_deblurred") for m in reported_results.METRICS[row.dataset])
    text = f"published: PSNR {row.psnr:.2f} dB, SSIM {row.ssim:.3f}"
    text += f"; difference {psnr - row.psnr:+.2f} dB"
    if ssim is not None:
        text += f", {ssim - row.ssim:+.4f}"
    return [text, f"({row.method} on {where}; {row.source})"]


def _other_weights_lines(evaluation: Evaluation) -> list[str]:
    lines = []
    for kind, means in evaluation.other_weights.items():
        key = aggregate.psnr_key(means, "deblurred")
        if key is not None:
            lines.append(f"deblurred by {kind} weights: PSNR {_number(means[key], 2)} dB")
    return lines


def _loss_lines(evaluation: Evaluation) -> list[str]:
    return [
        f"{stage}: val loss {_number(ends['initial']['loss'])} → {_number(ends['final']['loss'])}"
        for stage, ends in evaluation.val_losses.items()
    ]


def _line(label: str, *values: str) -> str:
    return f"{label:20}" + "".join(f"{value:>11}" for value in values)


def _number(value: float | None, digits: int | None = None) -> str:
    """Fixed digits, or four significant ones; a dash for None."""
    if value is None:
        return "–"
    return f"{value:.4g}" if digits is None else f"{value:.{digits}f}"
