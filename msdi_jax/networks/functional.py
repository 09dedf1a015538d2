"""Conversion between networks and plain dicts of arrays.

Networks are NNX modules, but compiled functions take nested dicts of arrays: dispatch is an order
of magnitude cheaper, and arrays are neither shared nor changed implicitly.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array

Arrays = dict[str, Any]


class TraceSafeRngs:
    """Source of random keys for the weights of networks: `nnx.Rngs` for traced programs.

    `nnx.Rngs` counts in a variable. Under a trace, every count queries the sharding of a traced
    value. The query fails, and its time grows with the trace: half the time to load a model.
    """

    def __init__(self, key: Array):
        self._key, self._count = key, 0

    def params(self) -> Array:
        self._count += 1
        return jax.random.fold_in(self._key, self._count)


def abstract(make: Callable[[TraceSafeRngs], nnx.Module]) -> Any:
    """Return the network that `make(rngs)` returns, with shapes and types in place of arrays."""
    return nnx.eval_shape(lambda: make(TraceSafeRngs(jax.random.key(0))))


class Parts(NamedTuple):
    """A network split into its static description, parameters and statistics."""

    graph: nnx.GraphDef
    params: Arrays
    stats: Arrays


def split(network: nnx.Module) -> Parts:
    """Split a network into its description, parameters and statistics."""
    graph, params, stats = nnx.split(network, nnx.Param, ...)
    return Parts(graph, nnx.to_pure_dict(params), nnx.to_pure_dict(stats))


def arrays_of(network: nnx.Module) -> Arrays:
    """Return parameters and statistics in one nested dict."""
    return nnx.to_pure_dict(nnx.state(network))


def merge(graph: nnx.GraphDef, *arrays: Arrays, training: bool = False) -> Any:
    """Return the network of `graph` and `arrays`; in training mode, calls update its statistics."""
    network = nnx.merge(graph, *arrays)
    if training:
        network.train()
    else:
        network.eval()
    return network
