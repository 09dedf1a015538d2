"""Photographs with cables drawn across them: thin lines side by side that are no motion.

    python -m msdi_jax.data.synthesis.cables --folder photographs_5/train

Of a photograph, what shows a thin line twice is mostly motion. A network that has seen few cables,
masts and railings in pairs takes every pair of them for one that was shaken.
"""

import argparse
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

SUFFIX = "_cables"
# Every so many photographs have a copy with cables.
EVERY = 4
# Bundles per picture, lines per bundle, thickness in px, gap between lines in thicknesses, and how
# far the middle of a line hangs through, in lengths of the picture's diagonal.
BUNDLES, LINES, THICKNESS, GAP, SAG = (3, 8), (1, 4), (1.5, 14.0), (1.5, 6.0), 0.15
_SUPERSAMPLING = 3

Picture = UInt8[np.ndarray, "h w 3"]


def draw(picture: Picture, rng: np.random.Generator) -> Picture:
    """The picture behind some bundles of cables."""
    found = picture.astype(np.float32)
    for _ in range(rng.integers(*BUNDLES, endpoint=True)):
        cover = _bundle(*picture.shape[:2], rng)[..., None]
        # Against the sky they are black, in the light white, and painted now and then.
        grey = 255 * rng.choice([rng.uniform(0, 0.25), rng.uniform(0.6, 1)])
        colour = grey if rng.random() < 0.8 else rng.uniform(0, 255, 3)
        found += cover * (colour - found)
    return np.rint(found).astype(np.uint8)


def _bundle(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """How much of each pixel the lines of one bundle cover, float32 (height, width)."""
    diagonal = float(np.hypot(height, width))
    middle, angle = rng.uniform(0, (width, height)), rng.uniform(0, 2 * np.pi)
    along, across = (np.array([np.cos(a), np.sin(a)]) for a in (angle, angle + np.pi / 2))
    thickness = np.exp(rng.uniform(*np.log(THICKNESS)))
    gap, spread = thickness * rng.uniform(*GAP), rng.uniform(-0.3, 0.3)
    sag = diagonal * rng.uniform(-SAG, SAG)
    places = np.linspace(-1, 1, 64)[:, None]
    cover = np.zeros((height * _SUPERSAMPLING, width * _SUPERSAMPLING), np.uint8)
    for line in range(rng.integers(*LINES, endpoint=True)):
        # Lines of a bundle run apart a little.
        aside = line * (thickness + gap) * (1 + spread * places) + sag * places**2
        points = middle + diagonal * places * along + aside * across
        fixed = np.rint(points * _SUPERSAMPLING * 16).astype(np.int32)
        pixels = max(1, round(thickness * _SUPERSAMPLING))
        cv2.polylines(cover, [fixed], False, 255, pixels, cv2.LINE_AA, shift=4)
    return cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def add(folder: str | Path) -> list[Path]:
    """Writes NAME_cables.png beside every fourth of a folder's PNG files; the same ones each time.

    Raises:
        ValueError: when there are no PNG files, copies already, or one that cannot be read.
    """
    files = sorted(Path(folder).glob("*.png"))
    if not files:
        raise ValueError(f"{folder} holds no PNG files: give the folder `train` of photographs")
    if copies := [file for file in files if file.stem.endswith(SUFFIX)]:
        raise ValueError(f"{copies[0]} is there already: delete the copies to draw them anew")
    made = []
    for file in tqdm(files[::EVERY], desc="cables", unit="photograph"):
        try:
            with Image.open(file) as image:
                picture = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{file} cannot be read as an image: {error}") from error
        rng = np.random.default_rng(zlib.crc32(file.name.encode()))
        made.append(file.with_name(f"{file.stem}{SUFFIX}.png"))
        # Half a copy would be a photograph that cannot be read.
        temporary = made[-1].with_suffix(".new")
        Image.fromarray(draw(picture, rng)).save(temporary, format="PNG")
        temporary.replace(made[-1])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", required=True, help="photographs to train on, PNG files")
    try:
        made = add(parser.parse_args().folder)
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(f"{len(made)} photographs with cables in {made[0].parent}")


if __name__ == "__main__":
    main()
