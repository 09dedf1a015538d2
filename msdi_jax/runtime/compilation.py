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

from msdi_jax.runtime import target


def precise(function: Callable) -> Callable:
    """Return `function` with products of float32 computed in full precision.

    By default, GPUs and TPUs compute them with fewer digits. `JAX_DEFAULT_MATMUL_PRECISION`, if
    set, takes precedence.
    """

    @functools.wraps(function)
    def traced(*arguments):
        precision = jax.config.jax_default_matmul_precision
        with jax.default_matmul_precision(precision or "highest"):
            return function(*arguments)

    return traced


_ORDER = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


def compile_for_memory(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """Compile with the order of instructions that needs least memory, if XLA offers the choice.

    On CPUs, XLA's default order starts with everything that depends on no input, for example the
    sums of the taps of all kernels.
    """
    compiled = _compile(lowered)
    # glibc keeps the memory that the compiler has freed, 0.3 GB for a large network.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return compiled


def _compile(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    if target.platform() == "cpu":
        try:
            return lowered.compile(compiler_options=_ORDER)
        except jax.errors.JaxRuntimeError as error:
            # The available options depend on the version of jaxlib.
            if "No such compile option" not in str(error):
                raise
    return lowered.compile()


def keep_programs() -> None:
    """Enable JAX's persistent compilation cache, for the commands.

    The cache is in `$XDG_CACHE_HOME/msdi_jax` (`~/.cache/msdi_jax`), unless
    `JAX_COMPILATION_CACHE_DIR` is set; `JAX_ENABLE_COMPILATION_CACHE=false` disables it. If the
    directory cannot be written, programs are compiled at every start, as without the cache.
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
    """Return a hash of the CPU's features.

    Machines may share a home directory, and a program for one CPU may not run on another.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = list(platform.uname())
    features = [
        line for line in lines if line.startswith(("model name", "flags", "Features"))
    ] or lines
    return hashlib.sha256("\n".join(sorted(set(features))).encode()).hexdigest()[:12]
