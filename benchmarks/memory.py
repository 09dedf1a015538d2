"""Peak memory of restoring a 720×1280 photograph in one piece, each side in its own process.

python -m benchmarks.memory [--width 64] [--size 720x1280]
"""

import argparse
import json
import resource

import jax
import numpy as np
from flax import nnx

from benchmarks import timing
from msdi_jax import models
from msdi_jax.restoration import bounded_memory

ALLOWED = 10**11


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", default="720x1280")
    parser.add_argument("--side", choices=("ours", "eager"), help="measure this process")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(_measure(options)))
        return
    arguments = ["--width", str(options.width), "--size", options.size, "--side"]
    found = {
        side: json.loads(timing.in_process("benchmarks.memory", *arguments, side).splitlines()[-1])
        for side in ("ours", "eager")
    }
    megabytes = {side: f"{side} {row['peak']:.0f} MB" for side, row in found.items()}
    weights = found["ours"]["weights"]
    what = f"peak memory, width {options.width}, {options.size}, whole"
    timing.show(
        {
            "what": what,
            "ratios": {"eager": found["eager"]["peak"] / found["ours"]["peak"]},
            "note": f"{', '.join(megabytes.values())}, of which weights {weights:.0f} MB",
        }
    )


def _measure(options: argparse.Namespace) -> dict[str, float]:
    height, width = map(int, options.size.split("x"))
    image = timing.photograph(height, width)[0]
    weights = (_ours if options.side == "ours" else _eager)(image, options.width)
    # Linux counts in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"peak": peak / 1e6, "weights": weights / 1e6}


def _ours(image: np.ndarray, width: int) -> int:
    network, _ = timing.stand_in_weights(models.Architecture("msdi_net", width))
    description = models.Description(models.Architecture("msdi_net", width), {}, "")
    # As `msdi_jax deblur` does, allowed as much as one piece takes.
    bounded_memory.BoundedRestorer(models.Model(network, description), ALLOWED)(image[None])
    return sum(array.nbytes for array in jax.tree.leaves(nnx.state(network)))


def _eager(image: np.ndarray, width: int) -> int:
    # Here, so that neither side carries the other's library more than it must.
    import torch

    from benchmarks.torch_baseline import MSDINet, fold

    network = fold(MSDINet(width, 2).eval())
    with torch.inference_mode():
        network(torch.from_numpy(np.moveaxis(image, -1, 0)[None].copy()))
    return sum(p.numel() * p.element_size() for p in network.parameters())


if __name__ == "__main__":
    main()
