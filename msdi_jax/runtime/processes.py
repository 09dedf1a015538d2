"""Runs of several processes, each with its devices."""

import collections
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import numpy as np
from jax._src import distributed
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding
from jaxtyping import Array, Bool

# The other processes end this number of seconds after the last heartbeat of one.
HEARTBEAT_SECONDS = 30
# The others wait this number of seconds while the first process prepares data or evaluates.
PATIENCE_SECONDS = 24 * 3600


def start(coordinator: str | None, process: int | None, processes: int | None) -> None:
    """Join the other processes of this run; call this before any other use of JAX.

    Without arguments, tasks of SLURM's `srun` and TPU pods are detected; otherwise, this process is
    the only one.

    Args:
        coordinator: "HOST:PORT" of the first process.
        process: index of this process.
        processes: number of processes.

    Raises:
        ValueError: only some of the three are given, or the index is out of range.
    """
    given = [coordinator, process, processes]
    if all(value is None for value in given) and not _on_a_cluster():
        return
    if any(value is None for value in given) and not all(value is None for value in given):
        raise ValueError(
            "--coordinator=HOST:PORT, --process_id and --num_processes belong together: give all "
            "three, or none on SLURM and TPU pods"
        )
    if processes is not None and not 0 <= process < processes:
        raise ValueError(f"--process_id={process} must be 0 … {processes - 1}")
    jax.distributed.initialize(
        coordinator,
        processes,
        process,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=PATIENCE_SECONDS,
    )


def _on_a_cluster() -> bool:
    # A batch script also has SLURM_PROCID, but only `srun` starts the processes, in a step.
    step = "SLURM_PROCID" in os.environ and "SLURM_STEP_NODELIST" in os.environ
    tasks = int(os.environ.get("SLURM_NTASKS", "1")) if step else 1
    workers = os.environ.get("TPU_WORKER_HOSTNAMES", "").split(",")
    return tasks > 1 or len(workers) > 1


def is_first() -> bool:
    """Return whether this process is the one that writes and prints."""
    return jax.process_index() == 0


def alone() -> bool:
    """Return whether this is the only process."""
    return jax.process_count() == 1


def abort(message: str) -> NoReturn:
    """End this process, and by that all others, with `message` and a non-zero exit status.

    With several processes, an orderly exit would wait for the others, which wait for the next step
    of this one.
    """
    if alone():
        sys.exit(message)
    print(message, file=sys.stderr, flush=True)
    os._exit(1)


def missing_platform() -> str | None:
    """Return an error message if `JAX_PLATFORMS` names a platform that JAX cannot use, else None.

    JAX itself raises RuntimeError, or an AssertionError without a message.
    """
    if not (platforms := jax.config.jax_platforms):
        return None
    try:
        jax.devices()
    except (AssertionError, RuntimeError):
        return (
            f"JAX_PLATFORMS={platforms}, but JAX finds no such device: unset JAX_PLATFORMS to use "
            'what there is, or install the plugin, `pip install "jax[cuda13]"` for GPUs and '
            '`"jax[tpu]"` for TPUs'
        )
    return None


def print_anywhere() -> None:
    """Replace characters that the output encoding cannot represent with '?'."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")


def print_once(text: str) -> None:
    """Print in the first process only."""
    if is_first():
        print(text, flush=True)


_passed: collections.Counter[str] = collections.Counter()


def wait_for_all(name: str) -> None:
    """Return when every process has reached the point `name`.

    The coordinator counts the processes. JAX's public barrier is a collective of the devices, which
    fails on CPUs after half a minute.
    """
    if alone():
        return
    _passed[name] += 1
    key = f"{name} {_passed[name]}"  # unique to one barrier
    distributed.global_state.client.wait_at_barrier(key, 1000 * PATIENCE_SECONDS)


def compiled_together(name: str, function: Callable) -> Callable:
    """Return a jitted function that all processes compile before any of them runs it.

    Its collectives must not wait for a process that still compiles, see `wait_for_all`.
    """
    compiled = None

    def call(*arguments):
        nonlocal compiled
        if compiled is None:
            compiled = function.lower(*arguments).compile()
            wait_for_all(name)
        return compiled(*arguments)

    return call


def first_then_others(name: str, action) -> Any:
    """Run `action` in the first process, then in all others, which use the files it wrote."""
    if is_first():
        result = action()
    wait_for_all(name)
    return result if is_first() else action()


def all_agree(name: str, flag: bool) -> bool:
    """Wait for all processes at the point `name`; return whether `flag` is true for all."""
    if alone():
        return flag
    wait_for_all(name)
    return bool(multihost_utils.process_allgather(np.asarray(flag)).all())


def flags(mesh: jax.sharding.Mesh, value: bool) -> Bool[Array, " devices"]:
    """Return one flag per device, for a step to reduce; those of this process are `value`."""
    sharding = NamedSharding(mesh, jax.P(mesh.axis_names))
    return jax.make_array_from_callback((mesh.size,), sharding, lambda _: np.full(1, value))


def on_host(tree: Any) -> Any:
    """Return `tree` with NumPy arrays, complete on every process."""

    def fetch(x):
        if x.is_fully_addressable or x.is_fully_replicated:
            return np.asarray(x)
        return multihost_utils.process_allgather(x, tiled=True)

    return jax.tree.map(fetch, tree)
