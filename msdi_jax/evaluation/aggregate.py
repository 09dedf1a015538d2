"""Aggregate metrics over images: means, and means of the blurriest and the sharpest tenth.

A row holds the metrics of one image under names such as `psnr_deblurred`: a metric of `protocols`
and the picture that it compares with its target.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from msdi_jax.evaluation.protocols import FAILED, METRICS

TEXT = ("name", "photograph")
PSNRS = tuple(metric for metric in METRICS if metric.startswith("psnr"))
KINDS = ("blurry", "deblurred", "reblurred")
PARTS = ("blurriest", "sharpest", "all")
DECILES_NOTE = (
    "Our reading of the protocol, which the paper does not spell out: images ranked by the PSNR of "
    "the blurry input against the sharp image; means over the tenth of lowest and of highest PSNR."
)


def without_identical(rows: Sequence[dict]) -> list[dict]:
    """The rows without those of identical pairs, whose PSNR is infinite.

    All metrics leave out the same images: differences of means then compare the same images.
    """
    return [row for row in rows if math.inf not in row.values()]


def means(rows: Sequence[dict]) -> dict[str, float | None]:
    """The mean of every metric over `without_identical`; failed alignments are counted in all rows.

    None where all pairs are identical.
    """
    keys = [key for key in rows[0] if key not in TEXT]
    different = without_identical(rows)
    return {
        key: int(sum(row[key] for row in rows))
        if key.startswith(FAILED)
        else float(np.mean([row[key] for row in different]))
        if different
        else None
        for key in keys
    }


def deciles(rows: Sequence[dict]) -> dict | None:
    """Means of the blurriest and of the sharpest tenth, and of all images; see `DECILES_NOTE`.

    A tenth is rounded to whole images, at least one. Identical pairs are left out. None if there
    are no blurry images, or no others.

    Returns:
        "note", "ranked_by", "images" (of a tenth), and the means of "blurriest", "sharpest" and
        "all".
    """
    key = psnr_key(rows[0], "blurry")
    rows = without_identical(rows)
    if key is None or not rows:
        return None
    # Equal values are ordered by name, so that the order of the source does not matter.
    ranked = sorted(rows, key=lambda row: (row[key], row["name"]))
    tenth = max(1, round(len(rows) / 10))
    return {
        "note": DECILES_NOTE,
        "ranked_by": key,
        "images": tenth,
        "blurriest": means(ranked[:tenth]),
        "sharpest": means(ranked[-tenth:]),
        "all": means(rows),
    }


def psnr_key(row: Mapping, kind: str) -> str | None:
    """The PSNR that ranks images: that of the first protocol which has one; None without any."""
    return next((key for metric in PSNRS if (key := f"{metric}_{kind}") in row), None)


def by_metric(means: Mapping) -> list[tuple[str, list[float | None]]]:
    """(metric, its mean by `KINDS`) of every metric of `METRICS` among the means."""
    rows = [(metric, [means.get(f"{metric}_{kind}") for kind in KINDS]) for metric in METRICS]
    return [(metric, values) for metric, values in rows if any(v is not None for v in values)]
