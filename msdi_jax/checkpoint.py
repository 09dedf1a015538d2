"""Arrays on disk. The only file that imports orbax."""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from msdi_jax.state import Arrays, State


class Checkpoints:
    """Checkpoints of one stage of a run: written in the background, each one whole or absent.

    Args:
        directory: made when missing.
        keep: how many of the latest stay.
    """

    def __init__(self, directory: Path, *, keep: int = 3):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)

    def latest(self) -> int | None:
        return self._manager.latest_step()

    def save(self, state: State) -> None:
        """Does nothing when the state's step is already there."""
        step = int(state.step)
        if step != self.latest():
            self._manager.save(step, args=ocp.args.StandardSave(state))

    def restore(self, like: State) -> State:
        """The latest state, with the shapes, types and shardings of `like` (real or abstract)."""
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        return self._manager.restore(self.latest(), args=ocp.args.StandardRestore(abstract))

    def wait(self) -> None:
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for what is being written."""
        self._manager.close()


def save_arrays(path: Path, arrays: Arrays) -> None:
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), arrays)


def load_arrays(path: Path, like: Any) -> Arrays:
    """Arrays saved by `save_arrays`, with the structure and shapes of the abstract `like`."""
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path.absolute(), like)
