"""Compilation of programs: precision, order of instructions, and the persistent cache."""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path

import jax


def precise(function: Callable) -> Callable:
    """`function`, traced so that products of float32 are products of float32.

    GPUs and TPUs would shorten them by default. `JAX_DEFAULT_MATMUL_PRECISION` is heeded.
    """

    @functools.wraps(function)
    def traced(*arguments):
        asked = jax.config.jax_default_matmul_precision
        with jax.default_matmul_precision(asked or "highest"):
            return function(*arguments)

    return traced


_ORDER = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


def compile_for_memory(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """Compiled with instructions in the order that takes least memory, where XLA lets us choose.

    By itself it begins on CPUs with all that can be begun, such as the sums of all kernels' taps.
    """
    compiled = _compile(lowered)
    # What a compiler has taken and freed, 0.3 GB for a large network, glibc keeps unless asked.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return compiled


def _compile(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    if jax.default_backend() == "cpu":
        try:
            return lowered.compile(compiler_options=_ORDER)
        except jax.errors.JaxRuntimeError as error:
            # Which options there are depends on jaxlib's version.
            if "No such compile option" not in str(error):
                raise
    return lowered.compile()


def keep_programs() -> None:
    """Switches jax's persistent compilation cache on, for the commands.

    In `$XDG_CACHE_HOME/msdi_jax` (`~/.cache/msdi_jax`), unless `JAX_COMPILATION_CACHE_DIR` says
    where; `JAX_ENABLE_COMPILATION_CACHE=false` switches it off. Where nothing can be written,
    programs are compiled again at every start, as without it.
    """
    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:
        return
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        directory = home / "msdi_jax" / _processor()
        directory.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    if os.access(directory, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(directory))


def _processor() -> str:
    """Homes are shared between machines, and a program for one CPU may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = list(platform.uname())
    features = [
        line for line in lines if line.startswith(("model name", "flags", "Features"))
    ] or lines
    return hashlib.sha256("\n".join(sorted(set(features))).encode()).hexdigest()[:12]
