"""Crops per second of the input pipeline, and how long a training step waits for them.

python -m benchmarks.pipeline [--width 16] [--batch 8]
"""

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

import cv2
import jax
import numpy as np

from benchmarks import timing
from benchmarks.training import make_step
from msdi_jax.data import pipeline
from msdi_jax.data.pairs.pairs_dataset_builder import prepare
from msdi_jax.data.photographs import embedded
from msdi_jax.data.records import open_split

FRAME = 720, 1280


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, raw = _tiles(Path(folder))
        decoded = [dict(source[i]) for i in range(len(source))]
        for name, records in (
            ("512² PNG tiles", source),
            ("512² raw tiles", raw),
            ("the same tiles in memory", decoded),
        ):
            rate = _crops_per_second(records, options)
            timing.show({"what": f"256² crops from {name}", "note": f"{rate:.0f} per second"})
        timing.show(_idle(source, options))


def _tiles(folder: Path):
    """The embedded photographs as pairs of 720×1280, with the noise that a camera adds.

    Kept as PNG, and raw.
    """
    rng = np.random.default_rng(0)
    for kind in ("blurry", "sharp"):
        (folder / "pairs" / kind).mkdir(parents=True)
    split = embedded()
    for number, photograph in enumerate((*split.train, *split.test)):
        frame = cv2.resize(photograph.read(), FRAME[::-1], interpolation=cv2.INTER_AREA)
        for kind, sigma in (("blurry", 6), ("sharp", 1e-3)):
            image = cv2.GaussianBlur(frame, (0, 0), sigma) + rng.normal(0, 2, frame.shape)
            file = folder / "pairs" / kind / f"{number}.png"
            cv2.imwrite(str(file), image.clip(0, 255).astype(np.uint8)[..., ::-1])
    made = (prepare(folder / "prepared", folder / "pairs", raw=raw) for raw in (False, True))
    return [open_split(directory, "train") for directory in made]


def _crops_per_second(source, options: argparse.Namespace) -> float:
    batches = pipeline.batches(source, batch_size=options.batch, crop=256, seed=0)
    with contextlib.closing(pipeline.iterate(batches)) as iterator:
        for _ in range(4):
            next(iterator)
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < options.seconds:
            count += len(next(iterator)["sharp"])
        return count / (time.perf_counter() - start)


def _idle(source, options: argparse.Namespace) -> timing.Row:
    """The share of the loop's time that is spent waiting for the next batch."""
    batches = pipeline.batches(source, batch_size=options.batch, crop=256, seed=0)
    step = make_step("deblur", options.width)
    waited = 0.0
    with contextlib.closing(pipeline.iterate(batches)) as iterator:
        jax.block_until_ready(step(next(iterator)))
        begun = time.perf_counter()
        for _ in range(6):
            start = time.perf_counter()
            batch = next(iterator)
            waited += time.perf_counter() - start
            jax.block_until_ready(step(batch))
        whole = time.perf_counter() - begun
    what = f"waiting for data, deblur step, width {options.width}, batch {options.batch}, crop 256"
    return {"what": what, "note": f"{100 * waited / whole:.1f} % of the time"}


if __name__ == "__main__":
    main()
