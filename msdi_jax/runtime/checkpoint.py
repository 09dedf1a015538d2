"""Arrays on disk. The only file that imports orbax."""

import contextlib
import json
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
    """Checkpoints of one stage of a run: written in the background, each one whole or absent.

    Args:
        directory: created if missing.
        keep_last: the number of the latest that stay.
        keep_best: the number of those with the highest val PSNR that stay too.
    """

    def __init__(self, directory: Path, *, keep_last: int = 3, keep_best: int = 0):
        check_place(directory)
        self.directory = directory
        self._attempts = 0
        self._best = _Best(directory.parent / f"{directory.name}-psnr.json", keep_best)
        options = ocp.CheckpointManagerOptions(
            create=True,
            preservation_policy=AnyPreservationPolicy([LatestN(keep_last), self._best]),
            # What a killed process left half-written.
            cleanup_tmp_directories=True,
        )
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)

    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    def latest(self) -> int | None:
        return self._manager.latest_step()

    def best(self) -> int | None:
        """The step with the highest val PSNR; None when none was measured, or none is kept."""
        return next(iter(self._best.among(self.steps())), None)

    def save(self, state: Any, psnr: float | None = None) -> None:
        """Does nothing when the state's step is already there.

        Args:
            psnr: of val crops with this very state, dB, when it was measured.

        Raises:
            ValueError: when this one, or the one before it, cannot be written.
        """
        step = int(state.step)
        if step == self.latest():
            return
        with self._as_value_error():
            if psnr is not None:
                self._best.note(step, psnr)
            self._manager.save(step, args=ocp.args.StandardSave(state))

    def restore(self, like: Any, step: int | None = None) -> Any:
        """The latest state, or that of `step`, with the shapes, types and shardings of `like`."""
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        chosen = self.latest() if step is None else step
        path = self.directory.absolute() / str(chosen) / ocp.checkpoint_manager.DEFAULT_ITEM_NAME
        # The manager's own would have all processes wait for one that cannot read.
        alone = _alone(path)
        handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
            return checkpointer.restore(path, args=ocp.args.StandardRestore(abstract))

    def restore_if_readable(self, like: Any, step: int) -> tuple[Any, str]:
        """The state of `step`, or None on all processes when one of them cannot read it, and why.

        All processes call this, in the same order.
        """
        state, reason = None, "another process cannot read it"
        try:
            state = self.restore(like, step)
        # Whatever orbax and its libraries raise for the many ways a file can be damaged.
        except Exception as error:
            reason = _first_line(error)
        self._attempts += 1
        agreed = processes.all_agree(
            f"{self.directory.name} read {self._attempts}", state is not None
        )
        return (state if agreed else None), reason

    def restore_latest_readable(self, like: Any, report: Callable[[str], None]) -> Any:
        """Return the latest state that all processes can read, or None if nothing was saved yet.

        Later ones are reported and moved to NAME-damaged next to `directory`, not deleted: the disk
        may have failed only for a moment.

        Raises:
            ValueError: when there are checkpoints and none of them can be read.
        """
        damaged = []
        for step in reversed(self.steps()):
            state, reason = self.restore_if_readable(like, step)
            if state is None:
                report(f"checkpoint {self.directory / str(step)} cannot be read: {reason}")
                damaged.append(step)
                continue
            for lost in damaged:
                aside = self._set_aside(lost)
                report(f"checkpoint {lost} is now {aside}, going back to step {step}")
            return state
        if not damaged:
            return None
        raise ValueError(
            f"none of the checkpoints in {self.directory} can be read: delete that folder to start "
            "the stage again"
        )

    def _set_aside(self, step: int) -> Path:
        folder = self.directory.parent / f"{self.directory.name}-damaged"
        folder.mkdir(exist_ok=True)
        target = folder / f"{step}-{time.strftime('%Y%m%d-%H%M%S')}"
        if processes.is_first():
            (self.directory / str(step)).rename(target)
        processes.wait_for_all(f"{self.directory.name} {step} set aside")
        self._manager.reload()
        return target

    def wait(self) -> None:
        """Wait until pending writes are on disk; raises like `save`."""
        with self._as_value_error():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait for pending writes and close; raises like `save`."""
        with self._as_value_error():
            self._manager.close()

    @contextlib.contextmanager
    def _as_value_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._manager.reload()
            latest = self.latest()
            kept = f"step {latest} is intact" if latest is not None else "there is none before it"
            raise ValueError(
                f"a checkpoint could not be written to {self.directory} "
                f"({_first_line(error)}); {kept}: make room there and repeat "
                "the command"
            ) from error


class _Best(PreservationPolicy):
    """Keeps the checkpoints with the highest val PSNR, which `file` remembers.

    Orbax would keep such figures inside the checkpoints, and fail on a damaged one.
    """

    def __init__(self, file: Path, count: int):
        self._file, self._count = file, count
        self._psnr = {}
        with contextlib.suppress(OSError, ValueError):
            self._psnr = {int(k): float(v) for k, v in json.loads(file.read_text()).items()}

    def note(self, step: int, psnr: float) -> None:
        self._psnr[step] = psnr
        if jax.process_index() != 0:
            return
        with atomic_write(self._file) as temporary:
            temporary.write_text(json.dumps(self._psnr, indent=2) + "\n")

    def among(self, steps: Sequence[int]) -> list[int]:
        """Those of `steps` to keep, best first."""
        ranked = sorted(self._psnr.keys() & set(steps), key=self._psnr.get, reverse=True)
        return ranked[: self._count]

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        kept = self.among([checkpoint.step for checkpoint in checkpoints])
        return [checkpoint.step in kept for checkpoint in checkpoints]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0][:200]


def _alone(path: Path) -> ocp.options.MultiprocessingOptions:
    """Options by which this process reads or writes alone, and waits for no other."""
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=path.name
    )


def check_place(path: Path) -> None:
    """Raises ValueError where orbax would write arrays that nobody can read.

    It collects the files that it wrote by a glob pattern that contains the path.
    """
    if odd := sorted((set("[\\") - {os.sep}) & set(str(path.absolute()))):
        raise ValueError(
            f"{path.absolute()} has {' and '.join(odd)} in its name, where arrays cannot be "
            "written: choose a path without"
        )


def save_arrays(path: Path, arrays: Any) -> None:
    """Writes host arrays; raises ValueError as `check_place`.

    Compression would save 7 % of the space, and double the time to read them.
    """
    check_place(path)
    alone = _alone(path)
    handler = ocp.PyTreeCheckpointHandler(use_compression=False, multiprocessing_options=alone)
    with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
        checkpointer.save(path.absolute(), args=ocp.args.PyTreeSave(arrays))


def load_arrays(path: Path, like: Any) -> Any:
    """Arrays saved by `save_arrays`, with the structure and shapes of the abstract `like`.

    On this process's first device, where every call would copy host arrays to. Group by group:
    orbax holds several copies of what it reads, which for a whole network would add half the memory
    of its weights.

    Raises:
        ValueError: when the arrays there have other names or shapes, or are damaged.
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
            tree = _here(traverse_util.unflatten_dict(group))
            arguments = ocp.args.PyTreeRestore(
                item=tree,
                restore_args=ocp.checkpoint_utils.construct_restore_args(tree),
                partial_restore=True,
            )
            try:
                restored = checkpointer.restore(path.absolute(), args=arguments)
            # Whatever orbax and its libraries raise for the many ways a file can be damaged.
            except Exception as error:
                raise ValueError(_first_line(error.__cause__ or error)) from error
            arrays |= traverse_util.flatten_dict(jax.block_until_ready(restored))
    return traverse_util.unflatten_dict(arrays)


def _here(tree: Any) -> Any:
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), tree)


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
