"""Statistics of a window around each pixel, instead of the whole image.

A whole photograph has other statistics than the crops that a network was trained on: a crop shows
sky or street, the photograph both. Statistics of windows about as large as the crops match those
of training. This is the test-time local converter of Chu et al., "Improving Image Restoration by
Revisiting Global Information Aggregation", ECCV 2022.
"""

import functools
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import max_dim, min_dim
from jaxtyping import Array, Float

from msdi_jax.networks.rewrites.plain import array_library, divide, named_when_plain
from msdi_jax.runtime import target
from msdi_jax.runtime.mesh import shares_rows

# Smallest window, px of the image: one pixel of the coarsest features.
LEAST = 16
# Windows start at every eighth of their side; statistics are interpolated between their centres. A
# window for every pixel would take many times as long and give the same picture.
STEPS = 8


def check(window: int, name: str) -> None:
    """Raise ValueError, naming the option `name`, unless `window` is 0 or large enough."""
    if window != 0 and window < LEAST:
        raise ValueError(f"{name}={window} px is too small: give at least {LEAST}, or 0 for none")


@named_when_plain
def spatial_mean(x: Float[Array, "b h w c"]) -> Float[Array, "b 1 1 c"]:
    return x.mean((1, 2), keepdims=True)


def moments(x: Float[Array, "b h w c"], window: int) -> tuple[Array, Array]:
    """Return mean and reciprocal deviation per pixel and channel, in float32 or wider.

    Args:
        x: features.
        window: side of the windows, px of `x`; windows at a border lie inside the image.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    # A variance is a difference of two means, which must not be much larger than it.
    centre = spatial_mean(wide)
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
    centre = spatial_mean(wide)
    return centre + _moving_mean(_moving_mean(wide - centre, 1, window), 2, window)


def _moving_mean(x: Array, axis: int, window: int) -> Array:
    side = x.shape[axis]
    length = min_dim(window, side)
    first = [(0, 0)] * 4
    first[axis] = 1, 0
    sums = jnp.pad(_cumulative_sum(x, axis), first)
    count = side - length + 1
    before = jax.lax.slice_in_dim(sums, 0, count, axis=axis)
    after = jax.lax.slice_in_dim(sums, length, length + count, axis=axis)
    means = (after - before) / length
    # The means at the borders are repeated. `jnp.pad` takes no symbolic sizes.
    above = (length - 1) // 2
    sides = above, side - count - above
    ends = (0, 1), (count - 1, count)
    first, last = (
        jnp.broadcast_to(jax.lax.slice_in_dim(means, *end, axis=axis), _resized(x, axis, number))
        for end, number in zip(ends, sides, strict=True)
    )
    return jnp.concatenate([first, means, last], axis)


def _cumulative_sum(x: Array, axis: int) -> Array:
    """Return the sums along an axis, on CPUs one after the other: ten times faster than XLA's."""
    if target.current() != "cpu" or shares_rows():
        return jnp.cumsum(x, axis)

    def add(total: Array, index: Array) -> tuple[Array, Array]:
        total = total + jax.lax.dynamic_index_in_dim(x, index, axis, keepdims=False)
        return total, total

    start = jnp.zeros_like(x, shape=(*x.shape[:axis], *x.shape[axis + 1 :]))
    _, sums = jax.lax.scan(add, start, jnp.arange(x.shape[axis]))
    return jnp.moveaxis(sums, 0, axis)


def _resized(x: Array, axis: int, size: int) -> tuple:
    return (*x.shape[:axis], size, *x.shape[axis + 1 :])


def _along_rows(matrix: np.ndarray, x: Array) -> Array:
    return _product("ih,bhwc->biwc", matrix, x)


def _along_columns(matrix: np.ndarray, x: Array) -> Array:
    return _product("jw,bhwc->bhjc", matrix, x)


def _product(subscripts: str, matrix: np.ndarray, x: Array) -> Array:
    return jnp.einsum(subscripts, matrix.astype(x.dtype), x, precision="highest")


def _window_matrices(side: int, window: int) -> tuple[Array, Array]:
    """Return matrices: pixels of an axis → means of the windows, and those → pixels.

    The shapes are (n, side) and (side, n). `side` may be a symbolic dimension.
    """
    library = array_library(side)
    return _constant_matrices(side, window) if library is np else _matrices(jnp, side, window)


@functools.lru_cache(maxsize=64)
def _constant_matrices(side: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    return _matrices(np, side, window)


def _matrices(library: ModuleType, side: int, window: int) -> tuple[Array, Array]:
    """Compute the matrices by NumPy or jax.numpy."""
    length = min_dim(window, side)
    # One window per eighth of a side; a small window has fewer positions.
    eighths = ((side - window) * STEPS + window - 1) // window + 1
    count = max_dim(1, min_dim(side - window + 1, eighths))
    pixels, numbers = library.arange(side)[:, None], library.arange(count)
    last = library.maximum(count - 1, 1)

    def start(number: Array) -> Array:
        """Round number · (side - length) / last to the nearest integer, or else the even one."""
        whole, rest = divide(2 * number * (side - length) + last, 2 * last)
        return whole - ((rest == 0) & (divide(whole, 2)[1] == 1))

    def share(number: Array) -> Array:
        """Return how far each pixel is from the centre of a window to the next, 0 … 1."""
        place = pixels - (length - 1) / 2 - start(number)
        return library.clip(place / library.maximum(start(number + 1) - start(number), 1), 0, 1)

    starts = start(numbers)[:, None]
    inside = (pixels.T - starts >= 0) & (pixels.T - starts < length)
    before = library.where(numbers == 0, 1, share(library.maximum(numbers - 1, 0)))
    after = library.where(numbers == count - 1, 0, share(numbers))
    return inside / length, before - after
