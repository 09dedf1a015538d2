"""Logs of a run: progress lines, `metrics.jsonl`, TensorBoard events, sample pictures."""

import datetime
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from msdi_jax.restoration.image_io import write
from msdi_jax.runtime.atomic_write import atomic_write
from msdi_jax.runtime.json_text import to_json

# Number of val crops written as pictures.
SHOWN_CROPS = 4


def read_rows(path: Path) -> list[dict]:
    """Read the rows of a `metrics.jsonl`, without a last line that a killed run cut short."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


class StageLog:
    """Log of one stage of a run that starts or resumes after `start` of `steps` steps.

    Rows of an earlier attempt beyond `start` are dropped, since those steps are repeated.
    """

    def __init__(self, workdir: Path, stage: str, *, start: int, steps: int):
        # Imported here: it loads PyTorch if installed, which would delay all error messages.
        from tensorboardX import SummaryWriter

        self._path = workdir / "metrics.jsonl"
        self._samples = workdir / "samples" / "training"
        self._samples.mkdir(parents=True, exist_ok=True)
        self._stage, self._start, self._steps = stage, start, steps
        rows = read_rows(self._path)
        # If nothing was saved yet, the measurement before the first step is repeated.
        again = start + 1 if start else 0
        kept = [r for r in rows if r["stage"] != stage or r["step"] < again]
        with atomic_write(self._path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))
        self._events = SummaryWriter(str(workdir / "events" / stage), purge_step=again)
        self._since = (time.monotonic(), start)

    def train(self, step: int, scalars: Mapping[str, float]) -> None:
        """Log a training step and print the progress line."""
        now, (then, done) = time.monotonic(), self._since
        self._since = (now, step)
        rate = max(step - done, 1) / max(now - then, 1e-9)
        self._write(step, {"steps_per_second": rate, **scalars})
        left = datetime.timedelta(seconds=round((self._steps - step) / rate))
        shown = "  ".join(f"{k} {v:.4g}" for k, v in scalars.items() if "rate" not in k)
        print(
            f"{self._stage} {step}/{self._steps}  {shown}  {rate:.2f} steps/s  ETA {left}",
            flush=True,
        )

    def val(
        self,
        step: int,
        scalars: Mapping[str, float],
        pictures: Mapping[str, UInt8[np.ndarray, "b h w 3"]],
    ) -> None:
        """Log losses on val crops, and pictures of the first crops side by side, one per row."""
        rows = [np.concatenate(images, axis=1) for images in zip(*pictures.values(), strict=True)]
        sheet = np.concatenate(rows[:SHOWN_CROPS])
        write(self._samples / f"{self._stage}-{step:07d}.png", sheet)
        self._events.add_image(
            f"{self._stage}/{' '.join(pictures)}", sheet, step, dataformats="HWC"
        )
        self._write(step, {f"val/{name}": value for name, value in scalars.items()})
        shown = "  ".join(f"{k} {v:.4g}" for k, v in scalars.items())
        print(f"{self._stage} {step}/{self._steps}  val: {shown}", flush=True)
        # Validation does not count as training time.
        self._since = (time.monotonic(), step)

    def _write(self, step: int, scalars: Mapping[str, float]) -> None:
        row = {"stage": self._stage, "step": step, **scalars}
        with self._path.open("a") as file:
            file.write(to_json(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        for name, value in scalars.items():
            self._events.add_scalar(f"{self._stage}/{name}", value, step)

    def close(self) -> None:
        self._events.close()


class NoLog:
    """Log of all processes but the first: does nothing."""

    def train(self, step: int, scalars: Mapping[str, float]) -> None: ...

    def val(self, step: int, scalars: Mapping[str, float], pictures: Mapping) -> None: ...

    def close(self) -> None: ...


def val_ends(workdir: Path, stage: str) -> dict[str, dict[str, float]]:
    """Return the first and last val losses of a stage: {"initial": …, "final": …}; {} if none."""
    prefix = "val/"
    losses = [
        {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix)}
        for row in read_rows(workdir / "metrics.jsonl")
        if row["stage"] == stage and f"{prefix}loss" in row
    ]
    return {"initial": losses[0], "final": losses[-1]} if losses else {}
