"""From the command to the first deblurred photograph: first start, second start, PyTorch.

python -m benchmarks.startup [--width 64]

The second start finds the programs that the first one compiled. Time to compile is what the second
start saves.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks import timing
from msdi_jax import models

# What a user of the PyTorch network would run: build, load, one forward pass.
THEIRS = """
import sys
import cv2
import torch
from benchmarks.torch_baseline import MSDINet
weights, width, source, target = sys.argv[1:]
network = MSDINet(int(width), 2).eval()
network.load_state_dict(torch.load(weights, weights_only=True))
image = torch.from_numpy(cv2.imread(source)[..., ::-1] / 255.0).float().permute(2, 0, 1)[None]
with torch.inference_mode():
    deblurred = network(image)[0][0].permute(1, 2, 0).clamp(0, 1)
cv2.imwrite(target, (255 * deblurred).round().byte().numpy()[..., ::-1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, options)
        command = ["-m", "msdi_jax", "deblur", "--model", str(folder / "model"), "--input"]
        command += [str(folder / "photo.png"), "--output", str(folder / "out.png")]
        ours = [_seconds(command, folder) for _ in range(2)]
        files = [str(folder / file) for file in ("weights.pth", "photo.png", "theirs.png")]
        command = ["-c", THEIRS, files[0], str(options.width), *files[1:]]
        theirs = [_seconds(command, folder) for _ in range(2)][1]
    what = f"start to first output, width {options.width}, {options.size}²"
    timing.show(
        {
            "what": what,
            "seconds": {"ours, first": ours[0], "ours": ours[1], "eager": theirs},
            "ratios": {"eager": theirs / ours[1]},
            "note": f"compiling takes {ours[0] - ours[1]:.0f} s, once",
        }
    )


def _write(folder: Path, options: argparse.Namespace) -> None:
    network, weights = timing.stand_in_weights(models.Architecture("msdi_net", options.width))
    description = models.Description(models.Architecture("msdi_net", options.width), {}, "")
    models.save(folder / "model", network, description)
    tensors = {key: torch.from_numpy(np.array(array)) for key, array in weights.items()}
    torch.save(tensors, folder / "weights.pth")
    image = timing.photograph(options.size, options.size)[0]
    cv2.imwrite(str(folder / "photo.png"), (255 * image).astype(np.uint8))


def _seconds(command: list[str], folder: Path) -> float:
    """Wall time of a process whose caches start out empty in `folder`."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *command], cwd=timing.ROOT, env=environment, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
