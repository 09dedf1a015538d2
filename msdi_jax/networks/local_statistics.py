"""Statistics around each pixel instead of those of the whole image.

A network that was trained on crops meets other statistics in a whole photograph: of sky and street
together, where a crop had one of them. Taken in windows about as large as the crops, they are what
it knows: the test-time local converter of Chu et al., "Improving Image Restoration by Revisiting
Global Information Aggregation", ECCV 2022.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# px of the image: one of the coarsest features.
LEAST = 16
# Windows at every eighth of their side; between their centres, statistics are interpolated. Every
# pixel a window of its own would take many times as long for the same picture.
STEPS = 8


def check(window: int, name: str) -> None:
    """Raises ValueError, with the `name` it was given under, for what is neither 0 nor a side."""
    if window != 0 and window < LEAST:
        raise ValueError(f"{name}={window} px is no window: give at least {LEAST}, or 0 for none")


def moments(x: Float[Array, "b h w c"], window: int) -> tuple[Array, Array]:
    """Mean and reciprocal deviation per pixel and channel, in float32 or wider.

    Args:
        x: features.
        window: side of the windows, px of `x`; those at a border lie within the image.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    # A variance is the difference of two means, which should not be large beside it.
    centre = wide.mean((1, 2), keepdims=True)
    deviation = wide - centre
    rows, columns = (_window_matrices(side, window) for side in x.shape[1:3])
    # Both at once: the pixels are read from memory once.
    both = jnp.concatenate([deviation, jnp.square(deviation)], axis=-1)
    averaged = _along_columns(columns[0], _along_rows(rows[0], both))
    mean, square = averaged[..., : x.shape[-1]], averaged[..., x.shape[-1] :]
    factor = jax.lax.rsqrt(jnp.maximum(square - jnp.square(mean), 0) + 1e-5)
    # Columns first: of few rows.
    mean, factor = (_along_rows(rows[1], _along_columns(columns[1], y)) for y in (mean, factor))
    return mean + centre, factor


def _along_rows(matrix: np.ndarray, x: Array) -> Array:
    return _product("ih,bhwc->biwc", matrix, x)


def _along_columns(matrix: np.ndarray, x: Array) -> Array:
    return _product("jw,bhwc->bhjc", matrix, x)


def _product(what: str, matrix: np.ndarray, x: Array) -> Array:
    return jnp.einsum(what, matrix.astype(x.dtype), x, precision="highest")


@functools.lru_cache(maxsize=64)
def _window_matrices(
    side: int, window: int
) -> tuple[Float[np.ndarray, "n side"], Float[np.ndarray, "side n"]]:
    """Means over the windows along an axis, and their interpolation at its pixels."""
    length = min(window, side)
    places = side - length + 1
    # Of a small window there are fewer places than eighths.
    count = min(places, -(-(side - length) * STEPS // length) + 1)
    starts = np.rint(np.linspace(0, side - length, count)).astype(int)
    pixels = np.arange(side)
    inside = (pixels >= starts[:, None]) & (pixels < starts[:, None] + length)
    centres = starts + (length - 1) / 2
    spread = [np.interp(pixels, centres, one) for one in np.eye(count)]
    return inside / length, np.stack(spread, axis=1)
