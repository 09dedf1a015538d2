"""What the loop asks of a training stage, and what both stages share."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, UInt8

from msdi_jax.state import State

Batch = dict[str, UInt8[Array, "b h w 3"]]
"""`blurry` and `sharp`."""


class Stage(NamedTuple):
    """Pure functions over `State`.

    Attributes:
        init: key → state.
        train_step: state, batch → next state, scalars to log.
        held_out: state, batch → losses in evaluation mode; nothing moves.
        network: state → the network to use, in evaluation mode.
    """

    init: Callable[[Array], State]
    train_step: Callable[[State, Batch], tuple[State, dict[str, Array]]]
    held_out: Callable[[State, Batch], dict[str, Array]]
    network: Callable[[State], nnx.Module]


def unit_range(images: Array) -> Array:
    """uint8 → [0, 1]; floating images are taken to be there already."""
    if images.dtype != jnp.uint8:
        return images
    return images.astype(jnp.float32) / 255
