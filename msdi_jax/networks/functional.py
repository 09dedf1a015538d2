"""What a training step maps to its successor, and how networks become plain dicts and back.

Networks are described as NNX modules, but steps see nested dicts of arrays: dispatch is an order
of magnitude cheaper, and nothing is shared or changed behind the step's back.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array

Arrays = dict[str, Any]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """Everything a run needs to go on: a pytree.

    Attributes:
        step: training steps done, int32.
        params: what the optimisers move.
        stats: what forward passes move (spectral vectors, running statistics).
        opt: the optimisers' moments.
        frozen: weights the stage uses and never moves.
        ema: exponential moving average of what is exported of `params`; empty when it is off.
        skipped: steps whose loss or gradient was not finite, so that nothing moved, int32.
    """

    step: Array
    params: Arrays
    stats: Arrays
    opt: Any
    frozen: Arrays
    ema: Arrays
    skipped: Array


def averaged(state: State) -> State:
    """The state with the moving average in place of the parameters themselves."""
    return dataclasses.replace(state, params=state.params | state.ema)


class Keys:
    """What networks draw their weights from: `nnx.Rngs`, for traced programs.

    `nnx.Rngs` counts in a variable. Under a trace, every count asks a traced value for its
    sharding, which fails, and takes the longer the longer the trace: half the time to load a model.
    """

    def __init__(self, key: Array):
        self._key, self._count = key, 0

    def params(self) -> Array:
        self._count += 1
        return jax.random.fold_in(self._key, self._count)


def abstract(make: Callable[[Keys], nnx.Module]) -> Any:
    """The network that `make(rngs)` would make, of shapes and types alone."""
    return nnx.eval_shape(lambda: make(Keys(jax.random.key(0))))


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
