"""Pictures of the images with the worst and the best results."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from msdi_jax.evaluation.aggregate import psnr_key
from msdi_jax.runtime.atomic_write import atomic_write

COUNT = 10
ROLES = ("blurry", "deblurred", "sharp", "error")
# Small on disk, and more than a slider on a page shows.
LONGEST_SIDE, QUALITY = 800, 85
# The error that the map shows brightest, in levels of 255: a quarter of the range.
BRIGHTEST = 64
# Letters that some file system forbids in names, and the % that encodes them.
_FORBIDDEN = re.compile(r'[/\\:*?"<>|%\x00-\x1f]')
# Bytes, of the 255 that most file systems allow.
LONGEST_STEM = 160


def choose_images(rows: Sequence[dict]) -> dict[str, list[str]]:
    """Names of at most ten images of lowest and of highest PSNR, no image in both.

    Ranked by the PSNR of the deblurred image; "worst" begins with the worst, "best" with the best.
    """
    key = psnr_key(rows[0], "deblurred")
    if key is None:
        return {"worst": [], "best": []}
    ranked = [row["name"] for row in sorted(rows, key=lambda row: (row[key], row["name"]))]
    count = min(COUNT, len(ranked) // 2)
    return {"worst": ranked[:count], "best": ranked[::-1][:count]}


def write_pictures(
    folder: Path, rows: Sequence[dict], pictures: Callable[[int], Mapping[str, np.ndarray]]
) -> dict[str, list[str]]:
    """Write `NAME-ROLE.jpg` of the chosen images that are missing; delete those of all others.

    Args:
        folder: created if it is missing.
        rows: of all images.
        pictures: index of a row → 8-bit "deblurred", "sharp" and, if present, "blurry".

    Returns:
        What `choose_images` returns.
    """
    chosen = choose_images(rows)
    index = {row["name"]: i for i, row in enumerate(rows)}
    names = [*chosen["worst"], *chosen["best"]]
    # The error map is written last.
    missing = [name for name in names if not picture_path(folder, name, "error").exists()]
    for name in tqdm(missing, desc="pictures", unit="image") if missing else ():
        draw_image(folder, name, pictures(index[name]))
    for name in index.keys() - {*names}:
        for role in ROLES:
            picture_path(folder, name, role).unlink(missing_ok=True)
    return chosen


def draw_image(folder: Path, name: str, pictures: Mapping[str, np.ndarray]) -> None:
    """Write the pictures of one image; `write_pictures` does not draw them again."""
    folder.mkdir(parents=True, exist_ok=True)
    for role, picture in _shown(pictures).items():
        _write(picture_path(folder, name, role), picture)


def _write(file: Path, picture: np.ndarray) -> None:
    # Full chroma resolution: fringes at edges are part of what the reader judges.
    chroma = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, *chroma]
    encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)[1]
    with atomic_write(file) as temporary:
        temporary.write_bytes(encoded.tobytes())


def picture_path(folder: Path, name: str, role: str) -> Path:
    return folder / f"{file_stem(name)}-{role}.jpg"


def file_stem(name: str) -> str:
    """The name of a record as a file name: records may be named by long paths."""
    stem = _FORBIDDEN.sub(lambda letter: f"%{ord(letter[0]):02X}", name).encode()
    if len(stem) > LONGEST_STEM:
        mark = hashlib.sha256(stem).hexdigest()[:12].encode()
        stem = stem[: LONGEST_STEM - len(mark) - 1] + b"-" + mark
    return stem.decode(errors="ignore")


def _shown(pictures: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    shown = {role: _small(pictures[role]) for role in ROLES if role in pictures}
    return shown | {"error": error_map(pictures["deblurred"], pictures["sharp"])}


def error_map(restored: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """The mean absolute difference over channels, from black (0) to bright yellow (a quarter)."""
    error = cv2.absdiff(restored, sharp).mean(axis=-1, dtype=np.float32)
    levels = np.clip(_small(error) * (255 / BRIGHTEST), 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def _small(picture: np.ndarray) -> np.ndarray:
    scale = LONGEST_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
