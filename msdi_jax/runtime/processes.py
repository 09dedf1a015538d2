"""Several processes, each with devices of its own, as one run."""

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

# Seconds without a heartbeat of one process after which the others end.
HEARTBEAT_SECONDS = 30
# While the first process prepares data or evaluates, the others wait.
PATIENCE_SECONDS = 24 * 3600


def start(coordinator: str | None, process: int | None, processes: int | None) -> None:
    """Joins the other processes of this run, before anything else is asked of JAX.

    Without arguments several tasks of SLURM's `srun` and a TPU pod are recognised; elsewhere this
    process is the only one.

    Raises:
        ValueError: when only some of the three are given, or they do not fit.
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
    # A batch script has the first of them too: only `srun` starts as many processes, in a step.
    step = "SLURM_PROCID" in os.environ and "SLURM_STEP_NODELIST" in os.environ
    tasks = int(os.environ.get("SLURM_NTASKS", "1")) if step else 1
    workers = os.environ.get("TPU_WORKER_HOSTNAMES", "").split(",")
    return tasks > 1 or len(workers) > 1


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return jax.process_index() == 0


def alone() -> bool:
    return jax.process_count() == 1


def abort(message: str) -> NoReturn:
    """Ends this process with `message` and a code that is not zero, and by its end all others.

    Of several, an orderly one would wait for the others to end, which wait for this one's next
    step.
    """
    if alone():
        sys.exit(message)
    print(message, file=sys.stderr, flush=True)
    os._exit(1)


def print_anywhere() -> None:
    """Replace characters that the output encoding cannot represent with '?'."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")


def print_once(text: str) -> None:
    """Prints once, however many processes there are."""
    if is_first():
        print(text, flush=True)


_passed: collections.Counter[str] = collections.Counter()


def wait_for_all(name: str) -> None:
    """Return when every process has reached the point `name`, however late.

    The coordinator counts them. JAX's public barrier is a collective of the devices, which gives up
    on CPUs after half a minute.
    """
    if alone():
        return
    _passed[name] += 1
    key = f"{name} {_passed[name]}"  # no two barriers may share one
    distributed.global_state.client.wait_at_barrier(key, 1000 * PATIENCE_SECONDS)


def compiled_together(name: str, function: Callable) -> Callable:
    """A jitted function that is compiled, the first time, before any process runs it.

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
    """Run `action` in the first process, then in all others, which use what it wrote."""
    if is_first():
        result = action()
    wait_for_all(name)
    return result if is_first() else action()


def all_agree(name: str, flag: bool) -> bool:
    """Whether `flag` is true of every process, once all have come to the point `name`."""
    if alone():
        return flag
    wait_for_all(name)
    return bool(multihost_utils.process_allgather(np.asarray(flag)).all())


def flags(mesh: jax.sharding.Mesh, value: bool) -> Bool[Array, " devices"]:
    """One flag per device, this process's being `value`; a step can reduce them."""
    sharding = NamedSharding(mesh, jax.P(mesh.axis_names))
    return jax.make_array_from_callback((mesh.size,), sharding, lambda _: np.full(1, value))


def on_host(tree: Any) -> Any:
    """NumPy arrays, whole on every process, wherever the parts of `tree` are."""

    def fetch(x):
        if x.is_fully_addressable or x.is_fully_replicated:
            return np.asarray(x)
        return multihost_utils.process_allgather(x, tiled=True)

    return jax.tree.map(fetch, tree)
