"""Networks as plain dicts of arrays, and back.

Networks are NNX modules, but compiled functions see nested dicts of arrays: dispatch is an order
of magnitude cheaper, and nothing is shared or changed behind the caller's back.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array

Arrays = dict[str, Any]


class TraceSafeRngs:
    """What networks draw their weights from: `nnx.Rngs`, for traced programs.

    `nnx.Rngs` counts in a variable. Under a trace, every count asks a traced value for its
    sharding, which fails, and takes the longer the longer the trace: half the time to load a model.
    """

    def __init__(self, key: Array):
        self._key, self._count = key, 0

    def params(self) -> Array:
        self._count += 1
        return jax.random.fold_in(self._key, self._count)


def abstract(make: Callable[[TraceSafeRngs], nnx.Module]) -> Any:
    """The network that `make(rngs)` would make, of shapes and types alone."""
    return nnx.eval_shape(lambda: make(TraceSafeRngs(jax.random.key(0))))


class Parts(NamedTuple):
    """A network taken apart: a static description, parameters and statistics."""

    graph: nnx.GraphDef
    params: Arrays
    stats: Arrays


def split(network: nnx.Module) -> Parts:
    graph, params, stats = nnx.split(network, nnx.Param, ...)
    return Parts(graph, nnx.to_pure_dict(params), nnx.to_pure_dict(stats))


def arrays_of(network: nnx.Module) -> Arrays:
    """Parameters and statistics in one nested dict."""
    return nnx.to_pure_dict(nnx.state(network))


def merge(graph: nnx.GraphDef, *arrays: Arrays, training: bool = False) -> Any:
    """The network again; in training mode its statistics move with every call."""
    network = nnx.merge(graph, *arrays)
    if training:
        network.train()
    else:
        network.eval()
    return network
