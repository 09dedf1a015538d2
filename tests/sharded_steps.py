"""Prints the losses of five steps of one stage on several meshes of virtual devices, as JSON.

Run by test_sharding.py in a process of its own, since the number of devices is fixed at start.
"""

import json
import sys

import jax
import numpy as np
from flax import nnx

from msdi_jax.configs import base
from msdi_jax.networks.degradation import DegradationEstimator
from msdi_jax.networks.functional import arrays_of
from msdi_jax.runtime.mesh import make_mesh, over_batch, place
from msdi_jax.training.loop import abstract_state
from msdi_jax.training.stage1_reblur import ReblurStage
from msdi_jax.training.stage2_deblur import DeblurStage

STEPS = 5


def config_of(name):
    config = base.get_config()
    config.width, config.reblur.depth = 2, 3
    if name == "shared_blur":
        config.native = True
        options = {"shared_blur": True, "batch_size": 8, "generated": 4, "motion_weight": 1.0}
        config.reblur.update(options)
        name = "reblur"
    if name == "shallow":
        name = "deblur"
        config.deblur.depth = 3
    # Adam divides a gradient by its own size, so a rounding error in one near 0 becomes a step of
    # full length the other way. A large epsilon leaves plain descent, as far in each step.
    config[name].update({"adam_eps": 1e-2, "learning_rate": 1e-1})
    return config


def stage_of(name, config):
    if name not in ("deblur", "shallow"):
        return ReblurStage(config)
    degradation = arrays_of(DegradationEstimator(2, rngs=nnx.Rngs(1)))
    return DeblurStage(config, degradation, degradation["encoder"]["shallow"])


def losses(name, batches, shape):
    """Scalars of every step on a mesh like "1x1", "2x4" or "8x1-sharded"."""
    config = config_of(name)
    config.mesh.shard_state = shape.endswith("-sharded")
    sizes = map(int, shape.removesuffix("-sharded").split("x"))
    mesh = one_device() if shape == "1x1" else make_mesh(*sizes)
    stage = stage_of(name, config)
    shardings = jax.tree.map(lambda x: x.sharding, abstract_state(stage.init, config, mesh))
    state = place(stage.init(jax.random.key(0)), shardings)
    step = jax.jit(stage.train_step, out_shardings=(shardings, None))
    found = []
    with jax.set_mesh(mesh):
        for batch in batches:
            places = {key: over_batch(mesh, value.ndim) for key, value in batch.items()}
            state, scalars = step(state, place(batch, places))
            found.append({k: float(v) for k, v in scalars.items()})
    return found


def one_device():
    axes = (jax.sharding.AxisType.Auto,) * 2
    return jax.make_mesh((1, 1), ("data", "rows"), axes, devices=jax.devices()[:1])


def main(name, *meshes):
    rng = np.random.default_rng(0)
    batches = [
        {k: rng.integers(0, 256, (8, 64, 64, 3), np.uint8) for k in ("blurry", "sharp")}
        for _ in range(STEPS)
    ]
    for batch in batches if name == "shared_blur" else ():
        batch["motion"] = rng.normal(size=(8, 3)).astype(np.float32)
    print(json.dumps({shape: losses(name, batches, shape) for shape in ("1x1", *meshes)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
