"""launch.py on little data, for the tests that need whole processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import skimage.data
from flax import nnx
from PIL import Image

from msdi_jax import models
from msdi_jax.networks.degradation import DegradationEstimator
from msdi_jax.networks.functional import arrays_of
from msdi_jax.runtime.checkpoint import Checkpoints

ROOT = Path(__file__).parents[1]
# What `start` has started, and `end_all` not ended.
_STARTED: list[subprocess.Popen] = []


def prepare(folder: Path) -> Path:
    """Photographs of one size, and a degradation encoder of width 2 to freeze."""
    (folder / "photographs").mkdir()
    for name in ("astronaut", "coffee", "rocket"):
        picture = getattr(skimage.data, name)()[:390, :390]
        Image.fromarray(picture).save(folder / "photographs" / f"{name}.png")
    description = models.Description(models.Architecture("degradation", 2, version=2), {}, "none")
    models.save(folder / "degradation", DegradationEstimator(2, rngs=nnx.Rngs(0)), description)
    return folder


def command(workdir: Path, prepared: Path, *extra: str) -> list[str]:
    """Stage 2 alone, of a network of width 2."""
    fields = {
        "width": 2,
        "stages": "('deblur',)",
        "dataset.directory": prepared,
        "dataset.photographs": prepared / "photographs",
        "dataset.train_pairs": 2,
        "dataset.test_pairs": 1,
        "dataset.longest_side": 288,
        "deblur.degradation_from": prepared / "degradation",
        "deblur.steps": 8,
        "deblur.schedule_steps": 8,
        "deblur.batch_size": 4,
        "deblur.crop": 32,
        "deblur.log_every": 1,
        "deblur.val_every": 4,
        "deblur.val_images": 2,
        "deblur.checkpoint_every": 2,
    }
    return [
        sys.executable,
        "launch.py",
        "--config=configs/quickstart.py",
        f"--workdir={workdir}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
        *extra,
    ]


def start(workdir: Path, prepared: Path, *extra: str, devices: int = 1) -> subprocess.Popen:
    """Output and errors come as one text; programs are compiled well."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    process = subprocess.Popen(
        command(workdir, prepared, *extra),
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    _STARTED.append(process)
    return process


def end_all() -> None:
    """Kills what runs still: what a failed test leaves would slow all others."""
    for process in _STARTED:
        process.kill()
        process.wait()
    _STARTED.clear()


def finish(process: subprocess.Popen, seconds: float = 900) -> str:
    """What a run that must succeed has printed."""
    printed, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, printed
    return printed


def read_until(process: subprocess.Popen, beginning: str, inside: str = "") -> str:
    """Reads the output up to the first line that begins so, and holds `inside`."""
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith(beginning) and inside in line:
            return printed
    raise AssertionError(f"no line {beginning!r} in: {printed}")


def rows(workdir: Path, key: str) -> list[dict]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if key in row]


def arrays(workdir: Path) -> list[np.ndarray]:
    """The trained weights of a finished run."""
    loaded = models.load(workdir / "model")
    return [np.asarray(x) for x in jax.tree.leaves(arrays_of(loaded.network))]


def saved(workdir: Path) -> list[int]:
    checkpoints = Checkpoints(workdir / "checkpoints" / "deblur")
    try:
        return checkpoints.steps()
    finally:
        checkpoints.close()
