"""How programs are compiled: of which kernels, with what precision, and once for all runs."""

import functools
import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path

import jax

CPUINFO = Path("/proc/cpuinfo")
# Of XLA's YNNPACK kernels, those of matrix products alone: convolutions are left to Eigen.
PRODUCTS_ALONE = "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"


def suit_processor() -> None:
    """Has XLA, before it starts, take the kernels that are fast on this CPU; for the commands.

    AMD's first Zen convolves by YNNPACK at about half the speed of Eigen (docs/performance.md).
    Where `XLA_FLAGS` chooses already, it is left alone.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _is_first_zen() and "ynn_fusion_type" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {PRODUCTS_ALONE}".lstrip()


def _is_first_zen() -> bool:
    """Whether 256 bits are computed in halves, as by Zen and Zen+."""
    found = dict(line.partition(":")[::2] for line in _cpuinfo())
    told = {key.strip(): value.strip() for key, value in found.items()}
    return told.get("cpu family") == "23" and int(told.get("model", "255")) < 0x30


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


def keep_programs() -> None:
    """Switches jax's persistent compilation cache on, for the commands.

    In `$XDG_CACHE_HOME/msdi_jax` (`~/.cache/msdi_jax`), unless `JAX_COMPILATION_CACHE_DIR` says
    where; `JAX_ENABLE_COMPILATION_CACHE=false` switches it off. Where nothing can be written,
    programs are compiled anew at every start, as without it.
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
    lines = _cpuinfo() or list(platform.uname())
    told = [line for line in lines if line.startswith(("model name", "flags", "Features"))] or lines
    return hashlib.sha256("\n".join(sorted(set(told))).encode()).hexdigest()[:12]


def _cpuinfo() -> list[str]:
    """Lines as "model : 1", of every core; none but on Linux."""
    try:
        return CPUINFO.read_text().splitlines()
    except OSError:
        return []
