"""What is told of a set of measured images: means, and the blurriest and sharpest tenths.

A row holds the figures of one image under names such as `psnr_deblurred`: a figure of `protocols`
and the picture it was read from.
"""

from collections.abc import Sequence

import numpy as np

from msdi_jax.evaluation.protocols import FAILED, FIGURES

TEXT = ("name", "photograph")
PSNRS = tuple(figure for figure in FIGURES if figure.startswith("psnr"))
KINDS = ("blurry", "deblurred", "reblurred")
DECILES_NOTE = (
    "Our reading of the protocol, which the paper does not spell out: images ranked by the PSNR of "
    "the blurry input against the sharp image; means over the tenth of lowest and of highest PSNR."
)


def means(rows: Sequence[dict]) -> dict[str, float]:
    """The mean over images of every figure; failed alignments are counted."""
    keys = [key for key in rows[0] if key not in TEXT]
    return {
        key: int(sum(row[key] for row in rows))
        if key.startswith(FAILED)
        else float(np.mean([row[key] for row in rows]))
        for key in keys
    }


def deciles(rows: Sequence[dict]) -> dict | None:
    """Means of the blurriest and of the sharpest tenth, beside those of all; `DECILES_NOTE`.

    A tenth is rounded to whole images, at least one. None when the blurry images were not measured.

    Returns:
        "note", "ranked_by", "images" (of a tenth), and by "blurriest", "sharpest" and "all" the
        means.
    """
    key = psnr_key(rows[0], "blurry")
    if key is None:
        return None
    # By name among equals, so that the order of the source does not matter.
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


def restored(record: dict) -> str | None:
    """How the images of a record of means were restored, where that is known."""
    found, window = record.get("restore"), record.get("window")
    return f"{found}, window {window}" if found and window else found


def psnr_key(row: dict, kind: str) -> str | None:
    """The PSNR of the first protocol that measured one, which images are ranked by."""
    return next((k for f in PSNRS if (k := f"{f}_{kind}") in row), None)


def measured(record: dict) -> list[tuple[str, list[float | None]]]:
    """(figure, its mean by `KINDS`) of every figure that a record of means holds."""
    found = []
    for figure in FIGURES:
        values = [record.get(f"{figure}_{kind}") for kind in KINDS]
        if any(value is not None for value in values):
            found.append((figure, values))
    return found
