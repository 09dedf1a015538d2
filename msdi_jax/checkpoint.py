"""Arrays on disk. The only file that imports orbax."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from flax import traverse_util

from msdi_jax.state import Arrays, State

GROUP_BYTES = 32 * 2**20


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
    """Arrays saved by `save_arrays`, with the structure and shapes of the abstract `like`.

    Group by group: orbax holds what it reads several times over, which for a whole network
    would be half as much memory again as its weights.

    Raises:
        ValueError: when the arrays there have other names or shapes.
    """
    expected, found = traverse_util.flatten_dict(like), {}
    with ocp.PyTreeCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(path.absolute()).item_metadata
        if metadata is None:
            raise ValueError("there are none, or they are damaged")
        saved = {k: x.shape for k, x in traverse_util.flatten_dict(metadata.tree).items()}
        if saved != {tuple(map(str, k)): x.shape for k, x in expected.items()}:
            raise ValueError("their names or shapes are another network's")
        for group in _groups(expected):
            tree = traverse_util.unflatten_dict(group)
            arguments = ocp.args.PyTreeRestore(
                item=tree,
                restore_args=ocp.checkpoint_utils.construct_restore_args(tree),
                partial_restore=True,
            )
            restored = checkpointer.restore(path.absolute(), args=arguments)
            found |= traverse_util.flatten_dict(jax.block_until_ready(restored))
    return traverse_util.unflatten_dict(found)


def _groups(arrays: dict[tuple, Any]) -> Iterator[dict[tuple, Any]]:
    """Parts of at most `GROUP_BYTES`, or of one array."""
    group, size = {}, 0
    for path, array in arrays.items():
        bytes_ = array.size * array.dtype.itemsize
        if group and size + bytes_ > GROUP_BYTES:
            yield group
            group, size = {}, 0
        group[path] = array
        size += bytes_
    if group:
        yield group
