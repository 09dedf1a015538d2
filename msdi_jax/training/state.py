"""The training state, which a step maps to the next one."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Array

from msdi_jax.networks.functional import Arrays


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class State:
    """Everything that is needed to resume a run, as a pytree.

    Attributes:
        step: number of finished training steps, int32.
        params: parameters that the optimizers update.
        stats: statistics that forward passes update (spectral vectors, running statistics).
        opt: moments of the optimizers.
        frozen: weights that the stage uses and never updates.
        ema: exponential moving average of the exported `params`; empty if it is off.
        skipped: number of steps without update, since loss or gradient was not finite, int32.
    """

    step: Array
    params: Arrays
    stats: Arrays
    opt: Any
    frozen: Arrays
    ema: Arrays
    skipped: Array


def averaged(state: State) -> State:
    """Return the state with the moving average in place of the parameters."""
    return dataclasses.replace(state, params=state.params | state.ema)
