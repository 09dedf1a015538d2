"""Statistics of a window around each pixel, instead of the whole image.

A whole photograph has other statistics than the crops that a network was trained on: a crop shows
sky or street, the photograph both. Statistics of windows about as large as the crops match those
of training. This is the test-time local converter of Chu et al., "Improving Image Restoration by
Revisiting Global Information Aggregation", ECCV 2022.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Smallest window, px of the image: one pixel of the coarsest features.
LEAST = 16
# Windows start at every eighth of their side; statistics are interpolated between their centres. A
# window for every pixel would take many times as long and give the same picture.
STEPS = 8


def check(window: int, name: str) -> None:
    """Raise ValueError, naming the option `name`, unless `window` is 0 or large enough."""
    if window != 0 and window < LEAST:
        raise ValueError(f"{name}={window} px is too small: give at least {LEAST}, or 0 for none")


def moments(x: Float[Array, "b h w c"], window: int) -> tuple[Array, Array]:
    """Return mean and reciprocal deviation per pixel and channel, in float32 or wider.

    Args:
        x: features.
        window: side of the windows, px of `x`; windows at a border lie inside the image.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    # A variance is a difference of two means, which must not be much larger than it.
    centre = wide.mean((1, 2), keepdims=True)
    deviation = wide - centre
    rows, columns = (_window_matrices(side, window) for side in x.shape[1:3])
    # Stacked, so that the pixels are read from memory once.
    stacked = jnp.concatenate([deviation, jnp.square(deviation)], axis=-1)
    averaged = _along_columns(columns[0], _along_rows(rows[0], stacked))
    mean, square = averaged[..., : x.shape[-1]], averaged[..., x.shape[-1] :]
    factor = jax.lax.rsqrt(jnp.maximum(square - jnp.square(mean), 0) + 1e-5)
    # Columns first, while there are few rows.
    mean, factor = (_along_rows(rows[1], _along_columns(columns[1], y)) for y in (mean, factor))
    return mean + centre, factor


def mean(x: Float[Array, "b h w c"], window: int) -> Float[Array, "b h w c"]:
    """Return the mean of the window around each pixel, in float32 or wider, as NAFNet's TLC does.

    Windows move by single pixels and lie inside the image; pixels near a border have the mean of
    the nearest window.

    Args:
        x: features.
        window: side of the windows, px of `x`.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    # Sums of deviations are smaller, so that their differences are more accurate.
    centre = wide.mean((1, 2), keepdims=True)
    return centre + _moving_mean(_moving_mean(wide - centre, 1, window), 2, window)


def _moving_mean(x: Array, axis: int, window: int) -> Array:
    side = x.shape[axis]
    length = min(window, side)
    first = [(0, 0)] * 4
    first[axis] = 1, 0
    sums = jnp.pad(jnp.cumsum(x, axis), first)
    count = side - length + 1
    before = jax.lax.slice_in_dim(sums, 0, count, axis=axis)
    after = jax.lax.slice_in_dim(sums, length, length + count, axis=axis)
    around = [
        ((side - count) // 2, (side - count + 1) // 2) if i == axis else (0, 0) for i in range(4)
    ]
    return jnp.pad((after - before) / length, around, mode="edge")


def _along_rows(matrix: np.ndarray, x: Array) -> Array:
    return _product("ih,bhwc->biwc", matrix, x)


def _along_columns(matrix: np.ndarray, x: Array) -> Array:
    return _product("jw,bhwc->bhjc", matrix, x)


def _product(subscripts: str, matrix: np.ndarray, x: Array) -> Array:
    return jnp.einsum(subscripts, matrix.astype(x.dtype), x, precision="highest")


@functools.lru_cache(maxsize=64)
def _window_matrices(
    side: int, window: int
) -> tuple[Float[np.ndarray, "n side"], Float[np.ndarray, "side n"]]:
    """Return matrices: pixels of an axis → means of the windows, and those → pixels."""
    length = min(window, side)
    places = side - length + 1
    # A small window has fewer positions than eighths.
    count = min(places, -(-(side - length) * STEPS // length) + 1)
    starts = np.rint(np.linspace(0, side - length, count)).astype(int)
    pixels = np.arange(side)
    inside = (pixels >= starts[:, None]) & (pixels < starts[:, None] + length)
    centres = starts + (length - 1) / 2
    spread = [np.interp(pixels, centres, one) for one in np.eye(count)]
    return inside / length, np.stack(spread, axis=1)
