"""Programs of a configuration, compiled for devices that are not there.

Weights have shapes and no values, so that no model directory is read. All figures are the
compiler's account, not measurements.
"""

import dataclasses
import time
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import ml_collections
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from msdi_jax.models import ESTIMATING, Architecture, Description, Model
from msdi_jax.models.architecture import KINDS
from msdi_jax.networks.degradation import ShallowEncoder
from msdi_jax.networks.functional import Arrays, abstract, arrays_of, split
from msdi_jax.networks.unet import MULTIPLE
from msdi_jax.networks.vgg import VGG19
from msdi_jax.runtime.hlo_account import Program, Traffic
from msdi_jax.runtime.mesh import over_batch, replicated
from msdi_jax.runtime.topology import Accelerator
from msdi_jax.training.loop import abstract_state, jitted_step, stepping
from msdi_jax.training.run import STAGES, check_fields
from msdi_jax.training.stage import Batch
from msdi_jax.training.state import State


@dataclasses.dataclass(frozen=True)
class Account:
    """The compiler's account of a program, per device; None where the compiler does not say.

    Attributes:
        estimated_cycles: sum of its estimates for the instructions, by the trips of their loops.
        estimated_seconds: these cycles at the accelerator's clock.
        share_of_peak: FLOPs over what the accelerator could do in that time, in bfloat16.
        flops: of the optimized program, with those that rewrites add.
        bytes_accessed: by all instructions; what a fusion keeps in registers is not counted.
        argument_bytes: weights, optimizer state and images.
        temporary_bytes: everything between arguments and results.
        total_bytes: both, and results that do not take the place of arguments.
        device_bytes: memory of the device.
        fits: whether the program needs no more than that.
        collectives: kind → how many, and the bytes of their results.
        kernels: that a GPU starts; None for TPUs, whose program is one.
        compile_seconds: on this machine.
        refusal: the compiler's reason for not compiling the program.
    """

    device_bytes: int
    compile_seconds: float
    fits: bool
    estimated_cycles: int | None = None
    estimated_seconds: float | None = None
    share_of_peak: float | None = None
    flops: float | None = None
    bytes_accessed: float | None = None
    argument_bytes: int | None = None
    temporary_bytes: int | None = None
    total_bytes: int | None = None
    collectives: Mapping[str, Traffic] | None = None
    kernels: int | None = None
    refusal: str | None = None


def check(config: ml_collections.ConfigDict, stage: str, mesh: Mesh) -> None:
    """Raise ValueError for fields that `stage`, of `STAGES`, cannot use on `mesh`."""
    check_fields(config)
    STAGES[stage].check(config, mesh)


def check_evaluation(config: ml_collections.ConfigDict, size: tuple[int, int], mesh: Mesh) -> None:
    """Raise ValueError unless images of `size` can be evaluated on `mesh`."""
    check_fields(config)
    stage = config.stages[-1]
    architecture = Architecture.from_config(config, stage)
    architecture.check(KINDS[architecture.kind].config_paths)
    height, width = _padded(size)
    if min(height, width) < MULTIPLE or height % mesh.shape["rows"]:
        raise ValueError(
            f"--size {size[0]}x{size[1]}: the sides must be above 0, and the height, padded to a "
            f"multiple of {MULTIPLE}, a multiple of mesh.rows={mesh.shape['rows']}"
        )


def _padded(size: tuple[int, int]) -> list[int]:
    return [-(-side // MULTIPLE) * MULTIPLE for side in size]


def lower_step(config: ml_collections.ConfigDict, name: str, mesh: Mesh) -> jax.stages.Lowered:
    """Trace the training step of stage `name` as `loop.train` jits it.

    The program has the forms of `target.current()`.
    """
    make, sources = STAGES[name], _sources(config, name)

    def init(key: jax.Array) -> State:
        # Traced, so that they take no memory.
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), sources)
        return make(config, **zeros).init(key)

    like = abstract_state(init, config, mesh)
    step = jitted_step(make(config, **sources), like, mesh)
    flags = NamedSharding(mesh, jax.P(mesh.axis_names))
    stop = jax.ShapeDtypeStruct((mesh.size,), bool, sharding=flags)
    with stepping(config, mesh):
        return step.lower(like, _batch(config[name], mesh), stop)


def _sources(config: ml_collections.ConfigDict, name: str) -> dict[str, Arrays | None]:
    """Return the shapes of the weights that stage `name` freezes, as arguments of the stage."""
    if name == "reblur":
        uses_vgg = bool(config.reblur.vgg_weights)
        return {"vgg": arrays_of(abstract(lambda rngs: VGG19(rngs=rngs))) if uses_vgg else None}
    degradation, features = None, None
    architecture = Architecture.from_config(config, name)
    if architecture.kind in ESTIMATING:
        degradation = architecture.abstract()[1]["degradation"]
        features = degradation["encoder"]["shallow"]
    elif config.deblur.features_from:
        features = arrays_of(abstract(lambda rngs: ShallowEncoder(config.width, rngs=rngs)))
    joint = None
    if config.augmentation.reblurred:
        joint = split(abstract(Architecture.from_config(config, "reblur").build))
    return {"degradation": degradation, "features": features, "joint": joint}


def _batch(settings: ml_collections.ConfigDict, mesh: Mesh) -> Batch:
    side = settings.crop + 2 * settings.get("context", 0)
    image = _array(mesh, (settings.batch_size, side, side, 3), jnp.uint8)
    batch = {"blurry": image, "sharp": image}
    if settings.get("shared_blur"):
        batch["motion"] = _array(mesh, (settings.batch_size, 3), jnp.float32)
    return batch


def _array(mesh: Mesh, shape: tuple[int, ...], dtype: type) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=over_batch(mesh, len(shape)))


def lower_evaluation(
    config: ml_collections.ConfigDict, images: int, size: tuple[int, int], mesh: Mesh
) -> jax.stages.Lowered:
    """Trace the forward pass of the last stage's network, in float32, as an evaluation does.

    Args:
        config: of the network and of `evaluation.window`.
        images: number of images at once.
        size: (height, width) in px, padded to multiples of 16.
        mesh: devices that share the images.
    """
    architecture = Architecture.from_config(config, config.stages[-1])
    description = Description(architecture, {}, "", window=config.evaluation.window or None)
    model = Model(nnx.merge(*architecture.abstract()), description)
    inputs = [_array(mesh, (images, *_padded(size), 3), jnp.float32) for _ in architecture.inputs]
    with jax.set_mesh(mesh):
        return model.lower(*inputs, weights=replicated(mesh))


def compile_for(
    accelerator: Accelerator, lowered: jax.stages.Lowered
) -> tuple[Account, str | None]:
    """Compile a program; return the compiler's account, and the text of the optimized program.

    A program that needs more memory than the device has may have neither figures nor a text.
    """
    start = time.monotonic()
    try:
        compiled = lowered.compile(compiler_options=accelerator.compiler_options)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error).removeprefix("RESOURCE_EXHAUSTED: ").splitlines()[0]
        seconds = time.monotonic() - start
        return Account(accelerator.memory_bytes, seconds, fits=False, refusal=reason), None
    seconds = time.monotonic() - start
    text = compiled.as_text()
    return account(accelerator, compiled, Program(text), seconds), text


def account(
    accelerator: Accelerator, compiled: jax.stages.Compiled, program: Program, seconds: float
) -> Account:
    """Return the account of a compiled program; `seconds` is the time that it took."""
    memory, costs = compiled.memory_analysis(), compiled.cost_analysis() or {}
    kept = memory.output_size_in_bytes - memory.alias_size_in_bytes
    total = memory.argument_size_in_bytes + memory.temp_size_in_bytes + kept
    cycles = program.cycles() if accelerator.clock_hz else None
    time_needed = cycles and cycles / accelerator.clock_hz
    flops = costs.get("flops")
    return Account(
        device_bytes=accelerator.memory_bytes,
        compile_seconds=seconds,
        fits=total <= accelerator.memory_bytes,
        estimated_cycles=cycles,
        estimated_seconds=time_needed,
        share_of_peak=flops / (time_needed * accelerator.peak_flops)
        if flops and time_needed
        else None,
        flops=flops,
        bytes_accessed=costs.get("bytes accessed"),
        argument_bytes=memory.argument_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        total_bytes=total,
        collectives=program.collectives(),
        kernels=program.kernels() if accelerator.platform == "cuda" else None,
    )
