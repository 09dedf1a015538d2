"""Shared by all benchmarks: paired timing, stand-in weights, environment, rows of the table."""

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx, traverse_util

from msdi_jax.interop.torch_keys import to_published
from msdi_jax.models import Architecture
from msdi_jax.networks.functional import abstract

ROOT = Path(__file__).parent.parent
Row = dict[str, Any]


class Cost(NamedTuple):
    """Seconds of one call: by the clock, and of the process on all cores."""

    wall: float
    cpu: float


def paired(calls: dict[str, Callable[[], Any]], pairs: int) -> dict[str, list[Cost]]:
    """The cost of each call, taken in turn `pairs` times after one uncounted round.

    Before each counted call the same one runs uncounted, as steps of a training follow each other:
    else whoever gives memory back between calls pays for the other side's having taken it, which
    on a virtual machine can double the time. A call must not return before its result is there.
    """
    costs = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(pairs):
        for name, call in calls.items():
            call()
            start = Cost(time.perf_counter(), time.process_time())
            call()
            end = Cost(time.perf_counter(), time.process_time())
            costs[name].append(Cost(end.wall - start.wall, end.cpu - start.cpu))
    return costs


def row(what: str, costs: dict[str, list[Cost]], **more) -> Row:
    """A row of the table: "ours" against each other name; ratios are medians over pairs.

    On a CPU also those of CPU time, which other work on the machine disturbs less.
    """
    found = {"what": what, "seconds": _medians(costs, "wall"), "ratios": _ratios(costs, "wall")}
    if jax.default_backend() == "cpu":
        found["cpu_ratios"] = _ratios(costs, "cpu")
    return {**found, **more}


def _medians(costs: dict[str, list[Cost]], of: str) -> dict[str, float]:
    return {name: statistics.median(getattr(c, of) for c in found) for name, found in costs.items()}


def _ratios(costs: dict[str, list[Cost]], of: str) -> dict[str, float]:
    return {
        name: statistics.median(
            getattr(their, of) / getattr(our, of)
            for their, our in zip(theirs, costs["ours"], strict=True)
        )
        for name, theirs in costs.items()
        if name != "ours"
    }


def show(found: Row) -> None:
    """One line for people, and one that `benchmarks.run` reads."""
    times = ", ".join(f"{name} {value:.3f} s" for name, value in found.get("seconds", {}).items())
    ratios = ", ".join(f"{name} {value:.2f}×" for name, value in found.get("ratios", {}).items())
    of_cpu = found.get("cpu_ratios", {}).values()
    ratios += "".join(f" (CPU time {value:.2f}×)" for value in of_cpu)
    note = found.get("note", "")
    print(f"{found['what']}: {'; '.join(t for t in (times, ratios, note) if t)}")
    print("ROW " + json.dumps(found), flush=True)


def environment() -> dict[str, str]:
    packages = ("jax", "jaxlib", "flax", "numpy", "torch")
    load = os.getloadavg()[0]
    return {
        "device": device(),
        "cores": str(len(os.sched_getaffinity(0))),
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "load before": f"{load:.1f}",
    }


def device() -> str:
    found = jax.devices()[0]
    return found.device_kind if found.platform != "cpu" else _processor()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def torch_device() -> str:
    return "cpu" if jax.default_backend() == "cpu" else "cuda"


def in_process(module: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Standard output of `python -m MODULE ARGUMENTS` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def stand_in(network: nnx.Module, seed: int = 0) -> nnx.Module:
    """An abstract `network` with weights drawn by NumPy (quickly) that keep signals of order 1."""
    rng = np.random.default_rng(seed)
    graph, state = nnx.split(network)
    arrays = traverse_util.flatten_dict(nnx.to_pure_dict(state))
    for path, x in arrays.items():
        fan_in = max(1, int(np.prod(x.shape[:-1])))
        arrays[path] = rng.standard_normal(x.shape, np.float32) * np.float32(0.5 / fan_in**0.5)
    for path, x in arrays.items():
        if path[-1] == "u":
            arrays[path], arrays[(*path[:-1], "v")] = _leading(arrays[(*path[:-1], "kernel")], x)
    return nnx.merge(graph, jax.tree.map(jax.numpy.asarray, traverse_util.unflatten_dict(arrays)))


def _leading(kernel: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = kernel.reshape(-1, kernel.shape[-1])
    for _ in range(2):
        v = matrix @ u
        v /= np.linalg.norm(v)
        u = v @ matrix
        u /= np.linalg.norm(u)
    return u, v


def stand_in_weights(architecture: Architecture) -> tuple[nnx.Module, dict[str, np.ndarray]]:
    """Return a network with stand-in weights, and the same weights under the published keys."""
    network = stand_in(abstract(architecture.build))
    return network, to_published(network)


def photograph(height: int, width: int, batch: int = 1) -> np.ndarray:
    """Random images in [0, 1], NHWC."""
    return np.random.default_rng(1).random((batch, height, width, 3), np.float32)
