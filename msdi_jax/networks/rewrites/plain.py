"""The plain target: programs for other compilers, for images of any size."""

import functools
from collections.abc import Callable
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array

from msdi_jax.runtime import target


def is_plain() -> bool:
    return target.current() == target.PLAIN


def array_library(*sizes: int) -> ModuleType:
    """Return NumPy for constants that depend on `sizes`; jax.numpy if one of them is symbolic."""
    return jnp if any(map(export.is_symbolic_dim, sizes)) else np


def divide(dividend: Array, divisor: int | Array) -> tuple[Array, Array]:
    """Return quotient and remainder of integers that are not negative.

    `jnp.divmod` takes five times as many operations, for the other integers.
    """
    if isinstance(dividend, np.ndarray):
        return np.divmod(dividend, divisor)
    divisor = jnp.broadcast_to(divisor, dividend.shape)
    return jax.lax.div(dividend, divisor), jax.lax.rem(dividend, divisor)


def named_when_plain(function: Callable) -> Callable:
    """Keep `function` as one call of its name in the jaxpr of a plain program.

    Translators then take it for one operation. Arguments but the first are static.
    """

    @functools.wraps(function)
    def call(x: Array, *options: int) -> Array:
        if not is_plain():
            return function(x, *options)
        static = tuple(range(1, 1 + len(options)))
        return jax.jit(function, static_argnums=static)(x, *options)

    return call
