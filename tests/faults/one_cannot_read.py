"""What a process restores when one of two cannot read the latest checkpoint.

    python -m tests.faults.one_cannot_read FOLDER HOST:PORT PROCESS

Process 1 fails on step 2 alone; both print what step they go on from.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from msdi_jax.runtime import processes
from msdi_jax.runtime.checkpoint import Checkpoints
from msdi_jax.runtime.mesh import make_mesh, place, replicated
from msdi_jax.training.state import State


def main(folder: str, coordinator: str, process: str) -> None:
    processes.start(coordinator, int(process), 2)
    sharding = replicated(make_mesh())

    def state(step: int) -> State:
        made = State(jnp.asarray(step), {"w": jnp.full(3, step)}, {}, {}, {}, {}, jnp.asarray(0))
        return place(made, jax.tree.map(lambda _: sharding, made))

    checkpoints = Checkpoints(Path(folder) / "checkpoints" / "deblur")
    for step in (1, 2):
        checkpoints.save(state(step))
    checkpoints.wait()
    restore = checkpoints.restore

    def failing(like, step=None):
        if step == 2 and process == "1":
            raise OSError("the disk failed for a moment")
        return restore(like, step)

    checkpoints.restore = failing
    found = checkpoints.restore_latest_readable(state(0), lambda text: print(text, flush=True))
    print(f"step {int(found.step)}, w {int(found.params['w'][0])}", flush=True)
    checkpoints.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
