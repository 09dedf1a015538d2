"""Work, memory and traffic of one of N devices in a training step, against one alone.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --width 64 --stages deblur --meshes 1x1,4x2

The step is compiled for virtual CPU devices and read, not run: floating-point operations and
temporary memory per device are the compiler's own account, collectives are counted in the program.
Weights, moments and batch come on top of the temporary memory; for a state in pieces
(`sharded`), they are what shrinks.
"""

import argparse
import collections
import os
import re
import subprocess
import sys
import time

MESHES = "1x1,8x1,1x8,2x4,8x1-sharded"
COLLECTIVES = re.compile(
    r" (all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all)(?:-start)?\("
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--size", type=int, default=512, help="side of the crops")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--stages", default="deblur,reblur")
    parser.add_argument("--meshes", default=MESHES, help="DATAxROWS, first the one to compare with")
    parser.add_argument("--case", help="STAGE:MESH, to compile in this very process")
    options = parser.parse_args()
    if options.case:
        _print_case(options)
        return
    print(f"width {options.width}, batch {options.batch} of {options.size}² px\n")
    print("| stage | mesh | FLOPs, share of 1/N | temporary memory | state, MiB | collectives |")
    print("|---|---|---|---|---|---|")
    for stage in options.stages.split(","):
        alone = None
        for mesh in options.meshes.split(","):
            found = _compile_elsewhere(stage, mesh)
            alone = alone or found
            print(_row(stage, mesh, found, alone), flush=True)


def _compile_elsewhere(stage: str, mesh: str) -> dict:
    """In a process of its own: the number of devices is fixed at start."""
    data, rows = _sizes(mesh)
    flags = (
        f"--xla_force_host_platform_device_count={data * rows} --xla_backend_optimization_level=0"
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", *sys.argv[1:], f"--case={stage}:{mesh}"],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    flops, temporary, state, seconds, *counts = done.stdout.split()
    return {
        "flops": float(flops),
        "temporary": float(temporary),
        "state": float(state),
        "seconds": float(seconds),
        "collectives": " ".join(counts),
    }


def _sizes(mesh: str) -> tuple[int, int]:
    data, rows = mesh.removesuffix("-sharded").split("x")
    return int(data), int(rows)


def _row(stage: str, mesh: str, found: dict, alone: dict) -> str:
    data, rows = _sizes(mesh)
    shares = [found[key] / alone[key] * data * rows for key in ("flops", "temporary")]
    return (
        f"| {stage} | {mesh} | {found['flops'] / 1e9:.1f} G, {shares[0]:.3f} | "
        f"{found['temporary'] / 2**20:.0f} MiB, {shares[1]:.3f} | {found['state'] / 2**20:.1f} | "
        f"{found['collectives'] or 'none'} |"
    )


def _print_case(options: argparse.Namespace) -> None:
    import jax

    from msdi_jax.runtime.mesh import make_mesh

    stage, shape = options.case.split(":")
    mesh = make_mesh(*_sizes(shape))
    started = time.monotonic()
    step, arguments = _step(stage, options, mesh, sharded=shape.endswith("-sharded"))
    with jax.set_mesh(mesh):
        compiled = step.lower(*arguments).compile()
    memory = compiled.memory_analysis()
    counts = collections.Counter(COLLECTIVES.findall(compiled.as_text()))
    state = sum(
        x.dtype.itemsize * int(_size(x.sharding.shard_shape(x.shape)))
        for x in jax.tree.leaves(arguments[0])
    )
    print(
        compiled.cost_analysis()["flops"],
        memory.temp_size_in_bytes,
        state,
        time.monotonic() - started,
        *(f"{name}:{count}" for name, count in sorted(counts.items())),
    )


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _step(name: str, options: argparse.Namespace, mesh, *, sharded: bool):
    """The jitted step and the shapes of its arguments."""
    import jax
    import jax.numpy as jnp

    from msdi_jax.configs import base
    from msdi_jax.runtime.mesh import over_batch
    from msdi_jax.training.loop import abstract_state

    config = base.get_config()
    config.width, config.mesh.shard_state = options.width, sharded
    stage = _stage(name, config)
    state = abstract_state(stage.init, config, mesh)
    shape = (options.batch, options.size, options.size, 3)
    image = jax.ShapeDtypeStruct(shape, jnp.uint8, sharding=over_batch(mesh))
    shardings = jax.tree.map(lambda x: x.sharding, state)
    step = jax.jit(stage.train_step, donate_argnums=0, out_shardings=(shardings, None))
    return step, (state, {"blurry": image, "sharp": image})


def _stage(name: str, config):
    from flax import nnx

    from msdi_jax.networks.degradation import DegradationEstimator
    from msdi_jax.networks.functional import arrays_of
    from msdi_jax.training.stage1_reblur import ReblurStage
    from msdi_jax.training.stage2_deblur import DeblurStage

    if name == "reblur":
        return ReblurStage(config)
    degradation = arrays_of(DegradationEstimator(config.width, rngs=nnx.Rngs(1)))
    return DeblurStage(config, degradation, degradation["encoder"]["shallow"])


if __name__ == "__main__":
    main()
