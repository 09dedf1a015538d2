"""Models on whole held-out frames: figures per image, means, and pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from msdi_jax import images, metrics, restore
from msdi_jax.model import Model

METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "psnr": metrics.psnr,
    "ssim_3d": metrics.ssim_3d,
    "ssim": metrics.ssim,
}


def evaluate(
    source,
    *,
    deblurrer: Model | None,
    joint: Model | None,
    protocol: str = "whole",
    samples: Path | None = None,
    sample_count: int = 0,
) -> dict:
    """Figures on the pairs of `source`, of 8-bit images as they would be written to files.

    `NAME_blurry` and `NAME_deblurred` compare with the sharp image, `NAME_reblurred` compares the
    reblurred sharp image with the blurry one.

    Args:
        source: records with uint8 "blurry" and "sharp", and a "name".
        deblurrer: deblurs; the joint network does when there is no other.
        joint: reblurs; None leaves the reblurred figures out.
        protocol: "whole" or "grid" (the published tiles), see `restore`.
        samples: folder for pictures of `sample_count` pairs evenly spaced in the source.

    Returns:
        "images", the mean of every figure, "per_image" and the names of the "samples".
    """
    if protocol not in restore.MODES:
        raise ValueError(f"protocol {protocol!r} is none of {', '.join(restore.MODES)}")
    shown = set(np.linspace(0, len(source) - 1, sample_count).astype(int).tolist())
    rows, names = [], []
    for index in tqdm(range(len(source)), desc="evaluate", unit="image"):
        row, pictures = measure(source[index], deblurrer or joint, joint, protocol)
        rows.append(row)
        if samples is not None and index in shown:
            names.append(row["name"])
            _write(samples, row["name"], pictures)
    keys = [key for key in rows[0] if key not in ("name", "photograph")]
    means = {key: float(np.mean([row[key] for row in rows])) for key in keys}
    return {
        "protocol": protocol,
        "images": len(rows),
        **means,
        "per_image": rows,
        "samples": names,
    }


def measure(
    record, deblurrer: Model, joint: Model | None = None, protocol: str = "whole"
) -> tuple[dict[str, str | float], dict[str, np.ndarray]]:
    """The name and the figures of one pair, and the 8-bit pictures they were read from."""
    pictures = _pictures(record, deblurrer, joint, restore.MODES[protocol])
    names = {key: text(record, key) for key in ("name", "photograph")}
    return {**names, **_figures(pictures)}, pictures


def _pictures(record, deblurrer: Model, joint: Model | None, mode) -> dict[str, np.ndarray]:
    pictures = {key: np.asarray(record[key]) for key in ("blurry", "sharp")}
    blurry, sharp = (images.to_unit(pictures[key]) for key in ("blurry", "sharp"))
    pictures["deblurred"] = images.to_uint8(mode(deblurrer.deblur, blurry))
    if joint is not None:

        def reblur(pair: np.ndarray) -> np.ndarray:
            return joint(pair[..., :3], pair[..., 3:]).reblurred

        pair = np.concatenate([blurry, sharp], axis=-1)
        pictures["reblurred"] = images.to_uint8(mode(reblur, pair))
    return pictures


def _figures(pictures: dict[str, np.ndarray]) -> dict[str, float]:
    targets = {"blurry": "sharp", "deblurred": "sharp", "reblurred": "blurry"}
    return {
        f"{metric}_{name}": function(pictures[name], pictures[target])
        for metric, function in METRICS.items()
        for name, target in targets.items()
        if name in pictures
    }


def _write(folder: Path, name: str, pictures: dict[str, np.ndarray]) -> None:
    """Each picture, and the two rows a reader wants side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"row": ("blurry", "deblurred", "sharp"), "reblur-row": ("blurry", "reblurred")}
    for key, picture in pictures.items():
        images.write(folder / f"{name}-{key}.png", picture)
    for key, members in rows.items():
        if all(member in pictures for member in members):
            row = np.concatenate([pictures[member] for member in members], axis=1)
            images.write(folder / f"{name}-{key}.png", row)


def text(record, key: str) -> str:
    value = record.get(key, "")
    return value.decode() if isinstance(value, bytes) else str(value)
