"""Cost of a network: parameters, and multiply-accumulates of its convolutions."""

import contextlib
import shlex
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from msdi_jax.models.architecture import Architecture
from msdi_jax.models.model import Model
from msdi_jax.networks.layers import Conv, DepthwiseConv, UpConv

# The paper's figure for MSDI-Net.
PAPER_GMACS, PAPER_SIZE, PAPER_WIDTH = 336.43, 256, 64


class Part(NamedTuple):
    """A part of a network; `macs` counts its convolutions for one image."""

    name: str
    parameters: int
    macs: int
    frozen: bool


class Cost(NamedTuple):
    """Parameters and multiply-accumulates of a network, by part."""

    parts: list[Part]

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)

    @property
    def frozen(self) -> int:
        return sum(part.parameters for part in self.parts if part.frozen)

    @property
    def macs(self) -> int:
        return sum(part.macs for part in self.parts)


def count(architecture: Architecture, size: int = 256) -> Cost:
    """Count the cost of one image of `size`×`size` pixels, without weights.

    Raises:
        ValueError: the network does not take images of this size.
    """
    abstract = nnx.merge(*architecture.abstract())
    parameters, macs = Counter(), _macs(abstract, architecture.input_shapes(size))
    for path, parameter in nnx.to_flat_state(nnx.state(abstract, nnx.Param)):
        parameters[_part(path)] += parameter.size
    frozen = architecture.frozen
    return Cost([Part(n, parameters[n], macs[n], n.split(".")[0] in frozen) for n in parameters])


def _part(path: tuple) -> str:
    """Return the part of a path; encoder and pyramid are separate parts."""
    return ".".join(map(str, path[: 2 if path[0] == "degradation" else 1]))


def _macs(abstract: nnx.Module, shapes: list[tuple[int, ...]]) -> Counter:
    """Count each layer by part, as the convolution that it defines, when it is called.

    The compiled program would give too high a count: it adds taps to strided convolutions.
    """
    graph, state = nnx.split(abstract)
    macs = Counter()

    def forward(arrays, *images):
        network = nnx.merge(graph, arrays)
        parts = {id(layer): _part(path) for path, layer in nnx.iter_modules(network) if path}
        with _recorded_calls() as calls:
            network(*images)
        for layer, x, y in calls:
            # A transposed convolution applies its kernel at every input, any other at every output.
            height, width = (x if isinstance(layer, UpConv) else y).shape[1:3]
            macs[parts[id(layer)]] += height * width * layer.kernel.size

    jax.eval_shape(forward, state, *(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
    return macs


@contextlib.contextmanager
def _recorded_calls() -> Iterator[list]:
    """Yield a list to which each call of a convolution in the block adds (layer, input, output)."""
    calls, originals = [], {kind: kind.__call__ for kind in (Conv, UpConv, DepthwiseConv)}

    def recording(original):
        def call(layer, *parts):
            y = original(layer, *parts)
            calls.append((layer, parts[0], y))
            return y

        return call

    try:
        for kind, original in originals.items():
            kind.__call__ = recording(original)
        yield calls
    finally:
        for kind, original in originals.items():
            kind.__call__ = original


def format_table(architecture: Architecture, size: int = 256, never_used: int = 0) -> str:
    """Format the cost of a network as a table.

    Args:
        architecture: of the network.
        size: side of the image, px.
        never_used: number of parameters that published files hold and no forward pass uses.

    Raises:
        ValueError: `size` is below 1.
    """
    if size < 1:
        raise ValueError(f"--size {size} must be at least 1 px")
    cost = count(architecture, size)
    rows = [("part", "parameters", "GMACs"), *map(_row, cost.parts)]
    rows.append(("total", f"{cost.parameters / 1e6:.2f} M", f"{cost.macs / 1e9:.2f}"))
    version = f", version {architecture.version}" if architecture.version else ""
    lines = [f"{architecture.kind}{version}, width {architecture.width}, {size}×{size} pixels", ""]
    lines += [f"{a:30}{b:>12}{c:>10}" for a, b, c in rows]
    lines += ["", _parameters(cost, never_used), *_paper(architecture, size, cost)]
    lines += _training(architecture)
    return "\n".join(lines)


def _row(part: Part) -> tuple[str, str, str]:
    name = f"{part.name} (frozen)" if part.frozen else part.name
    return name, f"{part.parameters / 1e6:.2f} M", f"{part.macs / 1e9:.2f}"


def _parameters(cost: Cost, never_used: int) -> str:
    total, frozen = cost.parameters, cost.frozen
    line = f"trained {(total - frozen) / 1e6:.1f} M, frozen {frozen / 1e6:.1f} M"
    if not never_used:
        return line
    total += never_used
    return (
        f"{line}\ncounted as the published code does, with the {never_used / 1e6:.2f} M "
        f"that no forward pass uses: {total / 1e6:.1f} M, trained {(total - frozen) / 1e6:.1f} M"
    )


def _paper(architecture: Architecture, size: int, cost: Cost) -> list[str]:
    lines = ["GMACs: convolutions only, without biases, norms, activations and resizes."]
    if architecture.kind == "msdi_net" and (size, architecture.width) == (PAPER_SIZE, PAPER_WIDTH):
        more = PAPER_GMACS - cost.macs / 1e9
        percent = 100 * abs(more) / PAPER_GMACS
        lines.append(
            f"The paper's {PAPER_GMACS} G is {abs(more):.1f} G ({percent:.1f} %) "
            f"{'more' if more > 0 else 'less'}; the operations left out here, one each per "
            "value, are 0.6 G and do not explain it."
        )
    return lines


def _training(architecture: Architecture) -> list[str]:
    """Return a line with the flags of a configuration that continues this network's training."""
    defaults = Architecture(architecture.kind).config_overrides()
    defaults |= {"width": PAPER_WIDTH, "deblur.network": "msdi_net"} if defaults else {}
    flags = [
        shlex.quote(f"--config.{field}={value}")
        for field, value in architecture.config_overrides().items()
        if defaults[field] != value
    ]
    return [f"To continue its training: {' '.join(flags)}"] if flags else []


def forward_statistics(model: Model, size: int = 256) -> str:
    """Format shape, mean, deviation and extremes of the outputs for random inputs.

    Raises:
        ValueError: an output is not finite.
    """
    rng = np.random.default_rng(0)
    inputs = [rng.random(s, np.float32) for s in model.architecture.input_shapes(size)]
    outputs = {"": model(*inputs)}
    if hasattr(model.network, "degradation"):
        outputs["degradation"] = model.degradation(inputs[0])
    lines = [f"{'output':32}{'shape':22}{'mean':>10}{'deviation':>11}{'least':>10}{'most':>10}"]
    for path, array in jax.tree.leaves_with_path(outputs):
        name = jax.tree_util.keystr(path[:1], simple=True) + jax.tree_util.keystr(path[1:])
        name = name.removeprefix(".") or model.architecture.kind
        if not jnp.isfinite(array).all():
            raise ValueError(f"{name} of a forward pass is not finite: the weights are damaged")
        figures = (array.mean(), array.std(), array.min(), array.max())
        lines.append(
            f"{name:32}{'×'.join(map(str, array.shape)):22}{figures[0]:10.4f}{figures[1]:11.4f}"
            f"{figures[2]:10.4f}{figures[3]:10.4f}"
        )
    return "\n".join(lines)
