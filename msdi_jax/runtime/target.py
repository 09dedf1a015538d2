"""The platform that programs are traced for, which may differ from that of this process.

`networks.convolution` chooses its exact rewrites by it: a program that is compiled ahead of time
for an accelerator does not get the forms that suit the CPU of this machine.
"""

import contextlib
import functools
from pathlib import Path

import jax

PLAIN = "plain"
"""No rewrites: for exports, and the reference that the rewrites are compared with."""
TARGETS = (PLAIN, "cpu", "cuda", "tpu")
# Linux lists the features of the CPU here.
CPUINFO = Path("/proc/cpuinfo")
# Part of the keys of JAX's caches, so that a trace for one target is not used for another.
_chosen = jax.make_user_context(None)


def current() -> str:
    """Return the target: the chosen one, or the platform of this process."""
    return _chosen.value or _host()


def platform() -> str:
    """Return the platform that programs are compiled for: plain ones for that of this process."""
    return _host() if current() == PLAIN else current()


def _host() -> str:
    backend = jax.default_backend()
    return "cuda" if backend == "gpu" else backend


def tracing_for(target: str) -> contextlib.AbstractContextManager:
    """Trace the programs of a `with` block for a target.

    Raises:
        ValueError: the target is unknown.
    """
    _check(target)
    return _chosen(target)


def set_default(target: str | None) -> None:
    """Trace all programs for a target, in all threads; None: for the platform of this process."""
    if target is not None:
        _check(target)
    _chosen.set_global(target)


def _check(target: str) -> None:
    if target not in TARGETS:
        raise ValueError(f"target {target!r} is unknown: choose one of {', '.join(TARGETS)}")


def has_narrow_registers() -> bool:
    """Return whether the target is an x86 CPU without AVX-512: registers hold 8 float32, not 16."""
    return current() == "cpu" and _host_has_narrow_registers()


@functools.cache
def _host_has_narrow_registers() -> bool:
    try:
        features = CPUINFO.read_text().split()
    except OSError:
        return False
    return "sse2" in features and "avx512f" not in features
