"""One training step of either stage, against PyTorch eager in either memory layout.

python -m benchmarks.training [--width 16] [--batch 4] [--crop 128] [--stages reblur deblur]
"""

import argparse

import jax
import numpy as np
import torch

from benchmarks import timing
from benchmarks.torch_baseline import Discriminator, JointNet, MSDINet
from benchmarks.torch_training import deblur_step, reblur_step
from msdi_jax.configs import base
from msdi_jax.networks.degradation import DegradationEstimator
from msdi_jax.networks.functional import abstract, arrays_of
from msdi_jax.training.stage1_reblur import ReblurStage
from msdi_jax.training.stage2_deblur import DeblurStage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--stages", nargs="+", choices=("reblur", "deblur"))
    parser.add_argument("--forms", nargs="+", default=["eager", "channels_last"])
    options = parser.parse_args()
    for name in options.stages or ("reblur", "deblur"):
        _time(name, options)


def _time(name: str, options: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    shape = (options.batch, options.crop, options.crop, 3)
    batch = {key: rng.integers(0, 256, shape, np.uint8) for key in ("blurry", "sharp")}
    step = make_step(name, options.width)
    size = f"width {options.width}, batch {options.batch}, crop {options.crop}"
    for form in options.forms:
        calls = {
            "ours": lambda: jax.block_until_ready(step(batch)),
            form: _theirs(name, form, options.width, batch),
        }
        seconds = timing.paired(calls, options.pairs)
        timing.show(timing.row(f"training step, {name}, {size}", seconds))


def make_step(name: str, width: int):
    """Batch → scalars of one of our training steps; the state moves on with every call."""
    config = base.get_config()
    config.width = width
    if name == "reblur":
        stage = ReblurStage(config)
    else:
        estimator = abstract(lambda rngs: DegradationEstimator(width, version=2, rngs=rngs))
        frozen = arrays_of(timing.stand_in(estimator))
        stage = DeblurStage(config, frozen, frozen["encoder"]["shallow"])
    # Copies: the frozen arrays may share memory, and a step donates all that it is given.
    state = jax.tree.map(jax.numpy.copy, stage.init(jax.random.key(0)))
    program = jax.jit(stage.train_step, donate_argnums=0)

    def step(batch: dict[str, np.ndarray]):
        nonlocal state
        state, scalars = program(state, batch)
        return scalars

    return step


def _theirs(name: str, form: str, width: int, batch: dict[str, np.ndarray]):
    device = timing.torch_device()
    layout = torch.channels_last if form == "channels_last" else torch.contiguous_format
    place = {"device": device, "memory_format": layout}
    if name == "reblur":
        step = reblur_step(JointNet(width).to(**place), Discriminator(width).to(**place))
    else:
        network = MSDINet(width, 2).to(**place)
        step = deblur_step(network, network.net_prior)
    tensors = {key: torch.from_numpy(x).permute(0, 3, 1, 2) for key, x in batch.items()}

    def call() -> None:
        images = [
            (tensors[key].to(device).float() / 255).to(**place) for key in ("blurry", "sharp")
        ]
        step(*images)

    return call


if __name__ == "__main__":
    main()
