"""The training state: what a step maps to its successor."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Array

from msdi_jax.networks.functional import Arrays


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
