"""Prints the losses of a few steps of one stage on several meshes of virtual devices, as JSON.

Run by test_sharding.py in a process of its own, since the number of devices is fixed at start.
"""

import json
import sys

import jax
import numpy as np
from flax import nnx

from configs import base
from msdi_jax import deblur, reblur
from msdi_jax.degradation import DegradationEstimator
from msdi_jax.mesh import make_mesh, over_batch, replicated
from msdi_jax.state import arrays_of

STEPS = 3


def stage_of(name):
    config = base.get_config()
    config.width = 2
    if name == "reblur":
        return reblur.ReblurStage(config)
    degradation = arrays_of(DegradationEstimator(2, rngs=nnx.Rngs(1)))
    return deblur.DeblurStage(config, degradation, degradation["encoder"]["shallow"])


def losses(stage, batches, place_state, place_batch):
    state = jax.device_put(stage.init(jax.random.key(0)), place_state)
    step = jax.jit(stage.train_step)
    found = []
    for batch in batches:
        state, scalars = step(state, jax.device_put(batch, place_batch))
        found.append({k: float(v) for k, v in scalars.items()})
    return found


def main(name, *meshes):
    rng = np.random.default_rng(0)
    batches = [
        {k: rng.integers(0, 256, (4, 64, 64, 3), np.uint8) for k in ("blurry", "sharp")}
        for _ in range(STEPS)
    ]
    stage = stage_of(name)
    one = jax.devices()[0]
    found = {"one": losses(stage, batches, one, one)}
    for shape in meshes:
        mesh = make_mesh(*map(int, shape.split("x")))
        found[shape] = losses(stage, batches, replicated(mesh), over_batch(mesh))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
