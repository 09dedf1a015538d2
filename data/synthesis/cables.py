"""Photographs with cables drawn across them: parallel thin lines that are not motion blur.

    python -m msdi_jax.data.synthesis.cables --folder photographs_5/train

A thin line that appears twice in a photograph is usually motion blur. A network that has seen few
parallel cables, masts and railings takes them for one shaken line.
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
# One photograph in this many gets a copy with cables.
EVERY = 4
# Bundles per image, lines per bundle, thickness in px, gap between lines in thicknesses, and the
# largest sag of a line in lengths of the image's diagonal.
BUNDLES, LINES, THICKNESS, GAP, SAG = (3, 8), (1, 4), (1.5, 14.0), (1.5, 6.0), 0.15
_SUPERSAMPLING = 3

Picture = UInt8[np.ndarray, "h w 3"]


def draw(picture: Picture, rng: np.random.Generator) -> Picture:
    """Draw random bundles of cables across an RGB image."""
    drawn = picture.astype(np.float32)
    for _ in range(rng.integers(*BUNDLES, endpoint=True)):
        cover = _bundle(*picture.shape[:2], rng)[..., None]
        # Cables are dark against the sky, bright in sunlight, and sometimes coloured.
        grey = 255 * rng.choice([rng.uniform(0, 0.25), rng.uniform(0.6, 1)])
        colour = grey if rng.random() < 0.8 else rng.uniform(0, 255, 3)
        drawn += cover * (colour - drawn)
    return np.rint(drawn).astype(np.uint8)


def _bundle(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return the share of each pixel that one bundle covers, float32 (height, width)."""
    diagonal = float(np.hypot(height, width))
    middle, angle = rng.uniform(0, (width, height)), rng.uniform(0, 2 * np.pi)
    along, across = (np.array([np.cos(a), np.sin(a)]) for a in (angle, angle + np.pi / 2))
    thickness = np.exp(rng.uniform(*np.log(THICKNESS)))
    gap, spread = thickness * rng.uniform(*GAP), rng.uniform(-0.3, 0.3)
    sag = diagonal * rng.uniform(-SAG, SAG)
    places = np.linspace(-1, 1, 64)[:, None]
    cover = np.zeros((height * _SUPERSAMPLING, width * _SUPERSAMPLING), np.uint8)
    for line in range(rng.integers(*LINES, endpoint=True)):
        # The lines of a bundle diverge slightly.
        offset = line * (thickness + gap) * (1 + spread * places) + sag * places**2
        points = middle + diagonal * places * along + offset * across
        fixed = np.rint(points * _SUPERSAMPLING * 16).astype(np.int32)
        pixels = max(1, round(thickness * _SUPERSAMPLING))
        cv2.polylines(cover, [fixed], False, 255, pixels, cv2.LINE_AA, shift=4)
    return cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def add(folder: str | Path) -> list[Path]:
    """Write a copy NAME_cables.png of every fourth PNG file of a folder, deterministically.

    Raises:
        ValueError: if there are no PNG files, copies exist already, or a file cannot be read.
    """
    files = sorted(Path(folder).glob("*.png"))
    if not files:
        raise ValueError(f"{folder} holds no PNG files: give the folder `train` of photographs")
    if copies := [file for file in files if file.stem.endswith(SUFFIX)]:
        raise ValueError(f"{copies[0]} is there already: delete the copies to draw them again")
    copies = []
    for file in tqdm(files[::EVERY], desc="cables", unit="photograph"):
        try:
            with Image.open(file) as image:
                picture = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{file} cannot be read as an image: {error}") from error
        rng = np.random.default_rng(zlib.crc32(file.name.encode()))
        copies.append(file.with_name(f"{file.stem}{SUFFIX}.png"))
        # An interrupted write must not leave an unreadable photograph.
        temporary = copies[-1].with_suffix(".new")
        Image.fromarray(draw(picture, rng)).save(temporary, format="PNG")
        temporary.replace(copies[-1])
    return copies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", required=True, help="photographs to train on, PNG files")
    try:
        copies = add(parser.parse_args().folder)
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(f"{len(copies)} photographs with cables in {copies[0].parent}")


if __name__ == "__main__":
    main()
