"""What a network costs: parameters, and multiply-accumulates of its convolutions."""

import contextlib
import shlex
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from msdi_jax.interop.torch_keys import never_used
from msdi_jax.models.model import DEBLURRING, Description, Model
from msdi_jax.networks.layers import Conv, UpConv

# Parts that no stage trains.
FROZEN = {
    "msdi_net": ("degradation",),
    "msdi2_net": ("degradation",),
    "vgg19": ("conv",),
}
# The paper's figure for MSDI-Net.
PAPER_GMACS, PAPER_SIZE, PAPER_WIDTH = 336.43, 256, 64


class Part(NamedTuple):
    """A part of a network: `macs` are those of its convolutions for one image."""

    name: str
    parameters: int
    macs: int
    frozen: bool


class Summary(NamedTuple):
    """`never_used` counts parameters that published files have and no forward pass uses."""

    parts: list[Part]
    never_used: int

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)

    @property
    def frozen(self) -> int:
        return sum(part.parameters for part in self.parts if part.frozen)

    @property
    def macs(self) -> int:
        return sum(part.macs for part in self.parts)


def summarise(description: Description, size: int = 256) -> Summary:
    """Counts without weights, for one image of `size`×`size` pixels.

    Raises:
        ValueError: when the network does not take images of that size.
    """
    abstract = nnx.merge(*description.abstract())
    parameters, macs = Counter(), _macs(abstract, description.input_shapes(size))
    for path, parameter in nnx.to_flat_state(nnx.state(abstract, nnx.Param)):
        parameters[_part(path)] += parameter.size
    frozen = FROZEN.get(description.network, ())
    parts = [Part(n, parameters[n], macs[n], n.split(".")[0] in frozen) for n in parameters]
    beside = {k: s for k, s in never_used(abstract).items() if "param_free_norm" not in k}
    return Summary(parts, sum(int(np.prod(shape)) for shape in beside.values()))


def _part(path: tuple) -> str:
    """Encoder and pyramid are parts by themselves."""
    return ".".join(map(str, path[: 2 if path[0] == "degradation" else 1]))


def _macs(abstract: nnx.Module, shapes: list[tuple[int, ...]]) -> Counter:
    """Counted where the layers are called, each as the convolution it stands for.

    The compiled program would tell too much: it computes strided convolutions on more taps.
    """
    graph, state = nnx.split(abstract)
    found = Counter()

    def forward(arrays, *images):
        network = nnx.merge(graph, arrays)
        parts = {id(layer): _part(path) for path, layer in nnx.iter_modules(network) if path}
        with _observed() as calls:
            network(*images)
        for layer, x, y in calls:
            # A transposed convolution meets its kernel at every input, any other at every output.
            height, width = (x if isinstance(layer, UpConv) else y).shape[1:3]
            found[parts[id(layer)]] += height * width * layer.kernel.size

    jax.eval_shape(forward, state, *(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
    return found


@contextlib.contextmanager
def _observed() -> Iterator[list]:
    """(layer, input, output) of every convolution called within."""
    calls, originals = [], {kind: kind.__call__ for kind in (Conv, UpConv)}

    def observe(original):
        def call(layer, *parts):
            y = original(layer, *parts)
            calls.append((layer, parts[0], y))
            return y

        return call

    try:
        for kind, original in originals.items():
            kind.__call__ = observe(original)
        yield calls
    finally:
        for kind, original in originals.items():
            kind.__call__ = original


def text(description: Description, size: int = 256) -> str:
    """A table for people; raises ValueError for a size that no image has."""
    if size < 1:
        raise ValueError(f"--size {size} must be at least 1 px")
    summary = summarise(description, size)
    rows = [("part", "parameters", "GMACs"), *map(_row, summary.parts)]
    rows.append(("total", f"{summary.parameters / 1e6:.2f} M", f"{summary.macs / 1e9:.2f}"))
    version = f", version {description.version}" if description.version else ""
    lines = [f"{description.network}{version}, width {description.width}, {size}×{size} pixels", ""]
    lines += [f"{a:30}{b:>12}{c:>10}" for a, b, c in rows]
    lines += ["", _parameters(summary), *_paper(description, size, summary)]
    lines += _training(description)
    return "\n".join(lines)


def _row(part: Part) -> tuple[str, str, str]:
    name = f"{part.name} (frozen)" if part.frozen else part.name
    return name, f"{part.parameters / 1e6:.2f} M", f"{part.macs / 1e9:.2f}"


def _parameters(summary: Summary) -> str:
    total, frozen = summary.parameters, summary.frozen
    line = f"trained {(total - frozen) / 1e6:.1f} M, frozen {frozen / 1e6:.1f} M"
    if not summary.never_used:
        return line
    total += summary.never_used
    return (
        f"{line}\ncounted as the published code does, with the {summary.never_used / 1e6:.2f} M "
        f"that no forward pass uses: {total / 1e6:.1f} M, trained {(total - frozen) / 1e6:.1f} M"
    )


def _paper(description: Description, size: int, summary: Summary) -> list[str]:
    lines = ["GMACs: convolutions alone, without biases, norms, activations and resizes."]
    published = description.network in ("msdi_net", "msdi2_net")
    if published and (size, description.width) == (PAPER_SIZE, PAPER_WIDTH):
        more = PAPER_GMACS - summary.macs / 1e9
        percent = 100 * abs(more) / PAPER_GMACS
        lines.append(
            f"The paper's {PAPER_GMACS} G is {abs(more):.1f} G ({percent:.1f} %) "
            f"{'more' if more > 0 else 'less'}; the operations left out here, one each per "
            "value, are 0.6 G and do not explain it."
        )
    return lines


def _training(description: Description) -> list[str]:
    """How a configuration says that it is this network that training goes on from."""
    if description.network not in DEBLURRING:
        return []
    usual = Description(description.network, PAPER_WIDTH, 2 * PAPER_WIDTH, {}, "").settings
    usual |= {"version": 2} if "version" in usual else {}
    own = [
        shlex.quote(f"--config.{field}={value}")
        for field, value in description.settings.items()
        if usual[field] != value
    ]
    return [f"To go on training it: {' '.join(own)}"] if own else []


def forward_statistics(model: Model, size: int = 256) -> str:
    """Shape, mean, deviation and extremes of what a forward pass on random numbers gives.

    Raises:
        ValueError: when any of it is not finite.
    """
    rng = np.random.default_rng(0)
    inputs = [rng.random(s, np.float32) for s in model.description.input_shapes(size)]
    outputs = {"": model(*inputs)}
    if hasattr(model.network, "degradation"):
        outputs["degradation"] = model.degradation(inputs[0])
    lines = [f"{'output':32}{'shape':22}{'mean':>10}{'deviation':>11}{'least':>10}{'most':>10}"]
    for path, array in jax.tree.leaves_with_path(outputs):
        name = jax.tree_util.keystr(path[:1], simple=True) + jax.tree_util.keystr(path[1:])
        name = name.removeprefix(".") or model.description.network
        if not jnp.isfinite(array).all():
            raise ValueError(f"{name} of a forward pass is not finite: the weights are damaged")
        figures = (array.mean(), array.std(), array.min(), array.max())
        lines.append(
            f"{name:32}{'×'.join(map(str, array.shape)):22}{figures[0]:10.4f}{figures[1]:11.4f}"
            f"{figures[2]:10.4f}{figures[3]:10.4f}"
        )
    return "\n".join(lines)
