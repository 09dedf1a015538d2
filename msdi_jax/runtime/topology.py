"""Accelerators that programs are compiled for ahead of time, without having one.

TPUs need the package `libtpu`, GPUs the CUDA plugin of JAX; neither needs a driver or a device.
"""

import functools
import importlib.util
import os
import re
import tomllib
from dataclasses import dataclass
from importlib import resources

import jax
from jax.experimental import topologies

_DATA = resources.files("msdi_jax.runtime") / "targets"
# Platform → packages, one of which is its compiler.
_COMPILERS = {"tpu": ("libtpu",), "cuda": ("jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13")}
# libtpu otherwise waits for other processes that use a TPU, and asks the cloud which TPU this is.
_TPU_ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}


@dataclass(frozen=True)
class Accelerator:
    """A kind of device, see `targets/accelerators.toml`.

    Attributes:
        name: in `--target`.
        platform: "tpu" or "cuda".
        memory_bytes: memory that a program may use.
        peak_flops: products of bfloat16 per second, two operations each.
        clock_hz: the clock that the compiler's estimates count; None if it makes none.
        description: of the device, for the compiler; empty if it knows the device by name.
    """

    name: str
    platform: str
    memory_bytes: int
    peak_flops: float
    clock_hz: float | None = None
    description: str = ""

    @property
    def compiler_options(self) -> dict[str, bool]:
        # The parameters of Triton's products can only be tuned on a device.
        return {"xla_gpu_enable_triton_gemm": False} if self.platform == "cuda" else {}


@functools.cache
def accelerators() -> dict[str, Accelerator]:
    """Return the known accelerators by name."""
    table = tomllib.loads((_DATA / "accelerators.toml").read_text(encoding="utf-8"))
    return {name: _accelerator(name, fields) for name, fields in table.items()}


def _accelerator(name: str, fields: dict) -> Accelerator:
    if fields["platform"] == "cuda":
        text = (_DATA / f"{name}.txtpb").read_text(encoding="utf-8")
        memory = int(re.search(r"device_memory_size: (\d+)", text)[1])
        fields |= {"description": text, "memory_bytes": memory}
    return Accelerator(name, **fields)


def find_devices(target: str) -> tuple[Accelerator, list[jax.Device]]:
    """Return an accelerator and devices that programs can be compiled for, but not run on.

    Args:
        target: TPUs with their topology, like "v5e:4x4"; one GPU, "h100", or several, "h100:8".

    Raises:
        ValueError: the target is unknown or impossible, or its compiler is not installed.
    """
    name, _, shape = target.partition(":")
    if name not in accelerators():
        known = ", ".join(accelerators())
        raise ValueError(f"--target {target} is unknown: choose one of {known}")
    accelerator = accelerators()[name]
    example = f"{name}:2x2x1" if name == "v5p" else f"{name}:2x2"
    if accelerator.platform == "tpu" and not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", shape):
        raise ValueError(f"--target {target} needs the topology of the TPUs, like {example}")
    if accelerator.platform == "cuda" and not re.fullmatch(r"|[1-9]\d*", shape):
        raise ValueError(f"--target {target} must be {name}, or {name}:N for N GPUs")
    _require_compiler(accelerator)
    try:
        topology = (_tpus if accelerator.platform == "tpu" else _gpus)(accelerator, shape)
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"--target {target}: {str(error).splitlines()[0]}") from error
    return accelerator, topology.devices


def _require_compiler(accelerator: Accelerator) -> None:
    packages = _COMPILERS[accelerator.platform]
    if not any(map(_is_installed, packages)):
        package = packages[0].replace("jax_plugins.xla_cuda12", "jax-cuda12-plugin")
        raise ValueError(
            f"--target {accelerator.name} needs {package}: pip install 'msdi_jax[aot]'"
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _tpus(accelerator: Accelerator, shape: str) -> topologies.TopologyDescription:
    for name, value in _TPU_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # By default, a host has 2×2 chips.
    alone = {"chips_per_host_bounds": (1, 1, 1)} if set(shape.split("x")) == {"1"} else {}
    return topologies.get_topology_desc(f"{accelerator.name}:{shape}", "tpu", **alone)


def _gpus(accelerator: Accelerator, shape: str) -> topologies.TopologyDescription:
    return topologies.get_topology_desc(
        "", "cuda", target_config=accelerator.description, topology=f"1x1x{shape or 1}"
    )
