"""Checkpoints and arrays on disk. The only module that imports orbax."""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from flax import traverse_util
from orbax.checkpoint.checkpoint_managers import (
    AnyPreservationPolicy,
    LatestN,
    PreservationPolicy,
)

from msdi_jax.runtime import processes
from msdi_jax.runtime.atomic_write import atomic_write

GROUP_BYTES = 128 * 2**20


class Checkpoints:
    """Checkpoints of one stage of a run, written in the background, each complete or absent.

    Args:
        directory: created if missing.
        keep_last: number of latest checkpoints to keep.
        keep_best: number of checkpoints with the highest val PSNR to keep in addition.
    """

    def __init__(self, directory: Path, *, keep_last: int = 3, keep_best: int = 0):
        check_place(directory)
        self.directory = directory
        self._attempts = 0
        self._best = _Best(directory.parent / f"{directory.name}-psnr.json", keep_best)
        options = ocp.CheckpointManagerOptions(
            create=True,
            preservation_policy=AnyPreservationPolicy([LatestN(keep_last), self._best]),
            # A killed process may leave incomplete files.
            cleanup_tmp_directories=True,
        )
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)

    def steps(self) -> list[int]:
        """Return the saved steps, in order."""
        return sorted(self._manager.all_steps())

    def latest(self) -> int | None:
        """Return the latest saved step, or None."""
        return self._manager.latest_step()

    def best(self) -> int | None:
        """Return the step with the highest val PSNR; None if none was measured or none is kept."""
        return next(iter(self._best.among(self.steps())), None)

    def save(self, state: Any, psnr: float | None = None) -> None:
        """Save a state in the background, unless its step is already saved.

        Args:
            state: the state; the caller may change its arrays afterwards.
            psnr: of the val crops with this state, dB, if it was measured.

        Raises:
            ValueError: this checkpoint, or the previous one, cannot be written.
        """
        step = int(state.step)
        if step == self.latest():
            return
        with self._as_value_error():
            if psnr is not None:
                self._best.note(step, psnr)
            self._manager.save(step, args=ocp.args.StandardSave(state))

    def restore(self, like: Any, step: int | None = None) -> Any:
        """Return the state of `step`, by default the latest, in the layout of `like`.

        `like` gives shapes, types and shardings.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        chosen = self.latest() if step is None else step
        path = self.directory.absolute() / str(chosen) / ocp.checkpoint_manager.DEFAULT_ITEM_NAME
        # With the manager's `restore`, all processes would wait for one that cannot read.
        alone = _alone(path)
        handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
            return checkpointer.restore(path, args=ocp.args.StandardRestore(abstract))

    def restore_if_readable(self, like: Any, step: int) -> tuple[Any, str]:
        """Return the state of `step`, or None if a process cannot read it, and the reason.

        All processes must call this in the same order; all of them return None or none does.
        """
        state, reason = None, "another process cannot read it"
        try:
            state = self.restore(like, step)
        # Orbax and its libraries raise many types of errors for damaged files.
        except Exception as error:
            reason = _first_line(error)
        self._attempts += 1
        agreed = processes.all_agree(
            f"{self.directory.name} read {self._attempts}", state is not None
        )
        return (state if agreed else None), reason

    def restore_latest_readable(self, like: Any, report: Callable[[str], None]) -> Any:
        """Return the latest state that all processes can read, or None if nothing was saved yet.

        Unreadable later ones are reported and moved to NAME-damaged next to `directory`. They are
        not deleted, since the failure of the disk may be temporary.

        Raises:
            ValueError: there are checkpoints, but none of them can be read.
        """
        damaged = []
        for step in reversed(self.steps()):
            state, reason = self.restore_if_readable(like, step)
            if state is None:
                report(f"checkpoint {self.directory / str(step)} cannot be read: {reason}")
                damaged.append(step)
                continue
            for lost in damaged:
                target = self._move_damaged(lost)
                report(f"checkpoint {lost} is now {target}, going back to step {step}")
            return state
        if not damaged:
            return None
        raise ValueError(
            f"none of the checkpoints in {self.directory} can be read: delete that folder to start "
            "the stage again"
        )

    def _move_damaged(self, step: int) -> Path:
        folder = self.directory.parent / f"{self.directory.name}-damaged"
        folder.mkdir(exist_ok=True)
        target = folder / f"{step}-{time.strftime('%Y%m%d-%H%M%S')}"
        if processes.is_first():
            (self.directory / str(step)).rename(target)
        processes.wait_for_all(f"{self.directory.name} {step} moved")
        self._manager.reload()
        return target

    def wait(self) -> None:
        """Wait until pending writes are on disk; raises the same errors as `save`."""
        with self._as_value_error():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait for pending writes and close; raises the same errors as `save`."""
        with self._as_value_error():
            self._manager.close()

    @contextlib.contextmanager
    def _as_value_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._manager.reload()
            latest = self.latest()
            kept = f"step {latest} is intact" if latest is not None else "there is no earlier one"
            raise ValueError(
                f"a checkpoint could not be written to {self.directory} ({_first_line(error)}); "
                f"{kept}: make room there and repeat the command"
            ) from error


class _Best(PreservationPolicy):
    """Keep the checkpoints with the highest val PSNR, which `file` records.

    Orbax stores metrics inside the checkpoints, and fails if one is damaged.
    """

    def __init__(self, file: Path, count: int):
        self._file, self._count = file, count
        self._psnr = {}
        with contextlib.suppress(OSError, ValueError):
            self._psnr = {int(k): float(v) for k, v in json.loads(file.read_text()).items()}

    def note(self, step: int, psnr: float) -> None:
        if math.isfinite(psnr):
            self._psnr[step] = psnr
        if jax.process_index() != 0:
            return
        with atomic_write(self._file) as temporary:
            temporary.write_text(json.dumps(self._psnr, indent=2) + "\n")

    def among(self, steps: Sequence[int]) -> list[int]:
        """Return the ones of `steps` to keep, best first."""
        ranked = sorted(self._psnr.keys() & set(steps), key=self._psnr.get, reverse=True)
        return ranked[: self._count]

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        kept = self.among([checkpoint.step for checkpoint in checkpoints])
        return [checkpoint.step in kept for checkpoint in checkpoints]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0][:200]


def _alone(path: Path) -> ocp.options.MultiprocessingOptions:
    """Return options with which this process reads and writes alone, without waiting."""
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=path.name
    )


def check_place(path: Path) -> None:
    """Raise ValueError if orbax could not read arrays that it writes to `path`.

    Orbax collects its files by a glob pattern that contains the path.
    """
    if odd := sorted((set("[\\") - {os.sep}) & set(str(path.absolute()))):
        raise ValueError(
            f"{path.absolute()} contains {' and '.join(odd)}, so that arrays cannot be written "
            "there: choose another path"
        )


def save_arrays(path: Path, arrays: Any) -> None:
    """Write host arrays; raises ValueError like `check_place`.

    They are not compressed: that would save 7 % of the space, and double the time to read.
    """
    check_place(path)
    alone = _alone(path)
    handler = ocp.PyTreeCheckpointHandler(use_compression=False, multiprocessing_options=alone)
    with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
        checkpointer.save(path.absolute(), args=ocp.args.PyTreeSave(arrays))


def load_arrays(path: Path, like: Any) -> Any:
    """Read arrays of `save_arrays`, with the structure and shapes of the abstract `like`.

    They are placed on this process's first device, since every call would copy host arrays there.
    They are read in groups: orbax holds several copies of the arrays that it reads, which for a
    whole network would add half the memory of its weights.

    Raises:
        ValueError: the arrays have other names or shapes, or are damaged.
    """
    expected, arrays = traverse_util.flatten_dict(like), {}
    alone = _alone(path)
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
        metadata = checkpointer.metadata(path.absolute()).item_metadata
        if metadata is None:
            raise ValueError("there are none, or they are damaged")
        saved = {k: x.shape for k, x in traverse_util.flatten_dict(metadata.tree).items()}
        if saved != {tuple(map(str, k)): x.shape for k, x in expected.items()}:
            raise ValueError("their names or shapes are another network's")
        for group in _groups(expected):
            tree = _on_first_device(traverse_util.unflatten_dict(group))
            arguments = ocp.args.PyTreeRestore(
                item=tree,
                restore_args=ocp.checkpoint_utils.construct_restore_args(tree),
                partial_restore=True,
            )
            try:
                restored = checkpointer.restore(path.absolute(), args=arguments)
            # Orbax and its libraries raise many types of errors for damaged files.
            except Exception as error:
                raise ValueError(_first_line(error.__cause__ or error)) from error
            arrays |= traverse_util.flatten_dict(jax.block_until_ready(restored))
    return traverse_util.unflatten_dict(arrays)


def _on_first_device(tree: Any) -> Any:
    first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=first), tree)


def _groups(arrays: dict[tuple, Any]) -> Iterator[dict[tuple, Any]]:
    """Yield groups of at most `GROUP_BYTES`, or of one array."""
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
