"""Export of a deblurring model to one file that runs without this package.

StableHLO, lowered for CPU, GPU and TPU:

    from jax import export
    program = export.deserialize(Path("model.stablehlo").read_bytes())
    deblurred = program.call(images)  # (b, height, width, 3) in [0, 1], any b

ONNX, for other runtimes:

    session = onnxruntime.InferenceSession("model.onnx")
    (deblurred,) = session.run(None, {"images": images})

Both contain the weights. Height and width are fixed at export, or may be any multiples of 16; both
refuse other sizes.
"""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx
from jax import export

from msdi_jax import models
from msdi_jax.interop import onnx_translation
from msdi_jax.networks.functional import abstract
from msdi_jax.networks.layers import Conv, DoublingConv, SpectralConv
from msdi_jax.networks.unet import MULTIPLE
from msdi_jax.runtime import target
from msdi_jax.runtime.atomic_write import atomic_write, check_file
from msdi_jax.runtime.compilation import precise
from msdi_jax.runtime.optional import require

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export_program(
    source: Path | str, destination: Path | str, size: tuple[int, int] | None = None
) -> int:
    """Write a model as one file of `FORMATS`; return its size in bytes.

    Args:
        source: a model directory.
        destination: the file to write; its suffix chooses the format.
        size: height and width of the images, px, multiples of 16; None for any such size.

    Raises:
        ValueError: the model does not deblur, a side is not a multiple of 16, an optional package
            is missing, or `destination` cannot be written.
    """
    destination = Path(destination)
    check_file(destination)
    if size and any(side < MULTIPLE or side % MULTIPLE for side in size):
        text = "x".join(map(str, size))
        raise ValueError(f"--size {text}: both sides must be multiples of {MULTIPLE}")
    loaded = models.load(source)
    if loaded.architecture.kind not in models.DEBLURRING:
        raise ValueError(
            f"{source} is a {loaded.architecture.kind} model, which does not deblur: give one "
            f"of {', '.join(models.DEBLURRING)}"
        )
    suffix = destination.suffix.lower()
    require(PACKAGES[suffix], "export", f"a {suffix} file")
    program = FORMATS[suffix](loaded, size)
    with atomic_write(destination) as temporary:
        temporary.write_bytes(program)
    return len(program)


def _stablehlo(loaded: models.Model, size: tuple[int, int] | None) -> bytes:
    deblur, images = _program(loaded, size)
    return export.export(jax.jit(deblur), platforms=PLATFORMS)(images).serialize()


def _onnx(loaded: models.Model, size: tuple[int, int] | None) -> bytes:
    deblur, images = _program(loaded, size)
    names = ("images", "deblurred")
    graph = onnx_translation.translate(deblur, images.shape, names, loaded.description.licence)
    return graph.SerializeToString()


FORMATS = {".stablehlo": _stablehlo, ".onnx": _onnx}
# JAX imports flatbuffers itself, and does not name the package if it is missing.
PACKAGES = {".stablehlo": "flatbuffers", ".onnx": "onnx"}


def _program(loaded: models.Model, size: tuple[int, int] | None):
    """Return the function images (b, height, width, 3) → deblurred images, and its input shape."""
    folded = fold_spectral_norm(loaded.network)

    @precise
    def deblur(images: jax.Array) -> jax.Array:
        joint = hasattr(folded, "deblur")
        with target.tracing_for(target.PLAIN):
            return (folded(images, images) if joint else folded(images)).deblurred

    return deblur, jax.ShapeDtypeStruct(_shape(loaded.architecture, size), jnp.float32)


def _shape(architecture: models.Architecture, size: tuple[int, int] | None) -> tuple:
    """Return the shape of images, of which the number, and the size unless given, is symbolic."""
    if size:
        return (*export.symbolic_shape("b"), *size, 3)
    # An encoder at full resolution reflects features of a 32nd of the size: at least two pixels.
    least = 3 if architecture.native else 1
    constraints = [f"h >= {least}", f"w >= {least}"]
    return export.symbolic_shape(f"b, {MULTIPLE}*h, {MULTIPLE}*w, 3", constraints=constraints)


def fold_spectral_norm(network: nnx.Module) -> nnx.Module:
    """Return a copy for inference, with plain convolutions of the normalised kernels."""
    graph, state = nnx.split(network)
    # NumPy arrays, since JAX would compile a division for each shape.
    folded = nnx.merge(graph, jax.device_get(nnx.to_pure_dict(state)))
    for path, layer in list(nnx.iter_graph(folded)):
        if isinstance(layer, SpectralConv):
            *parents, name = path
            holder = functools.reduce(_member, parents, folded)
            if isinstance(name, int):
                holder[name] = _plain(layer)
            else:
                setattr(holder, name, _plain(layer))
    return folded


def _member(holder: nnx.Module, name: str | int) -> nnx.Module:
    return holder[name] if isinstance(name, int) else getattr(holder, name)


def _plain(layer: SpectralConv) -> Conv:
    size, _, inputs, outputs = layer.kernel.shape
    options = {"stride": layer.stride, "padding": layer.padding, "bias": layer.bias is not None}
    kind = DoublingConv if isinstance(layer, DoublingConv) else Conv
    plain = abstract(lambda keys: kind(inputs, outputs, size, **options, rngs=keys))
    plain.kernel.set_value(layer.kernel[...] / layer.singular_value())
    plain.bias = layer.bias
    return plain
