"""Resizing of images and features, as PyTorch's `interpolate` does it. Sizes may be symbolic."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from msdi_jax.networks.rewrites.plain import array_library, divide, is_plain


def resize_bilinear(x: Float[Array, "b h w c"], height: int, width: int) -> Array:
    """Resize bilinearly, half-pixel centres, no antialiasing (PyTorch `interpolate`)."""
    for axis, target in ((1, height), (2, width)):
        if x.shape[axis] != target:
            x = _interpolate(x, axis, target)
    return x


def _interpolate(x: Array, axis: int, target: int) -> Array:
    """Blend two neighbours; `jax.image.resize` multiplies by a matrix instead."""
    size = x.shape[axis]
    library = array_library(size, target)
    # The centre of pixel i is at ((2 · i + 1) · size - target) / (2 · target) in the input.
    places = (2 * library.arange(target) + 1) * size - target
    lower, rest = divide(library.maximum(places, 0), 2 * target)
    upper = library.minimum(lower + 1, size - 1)
    share = jnp.asarray(rest / (2 * target), x.dtype).reshape(
        [-1 if i == axis else 1 for i in range(4)]
    )
    return x.take(lower, axis) * (1 - share) + x.take(upper, axis) * share


def resize_nearest(x: Float[Array, "b h w c"], height: int, width: int) -> Array:
    """Resize by PyTorch's `nearest`: source index floor(target · (in / out)) in float32."""
    return _take_nearest(_take_nearest(x, 1, height), 2, width)


def _take_nearest(x: Array, axis: int, target: int) -> Array:
    """Resize one axis; whole factors need no gather, which would collect rows from all devices."""
    size = x.shape[axis]
    if size == target:
        return x
    indices = _nearest(size, target)
    if isinstance(indices, np.ndarray) and not is_plain():
        factor, step = max(1, target // size), max(1, size // target)
        if np.array_equal(indices, np.arange(target) // factor * step):
            x = x[(slice(None),) * axis + (slice(None, target * step, step),)]
            return x.repeat(factor, axis)
    return x.take(indices, axis)


def _nearest(size: int, target: int) -> Array:
    library = array_library(size, target)
    # In exact arithmetic, some indices would differ, first for 256 → 656.
    scale = library.float32(size) / library.float32(target)
    places = library.arange(target, dtype=np.float32) * scale
    return library.minimum(places, size - 1).astype(int)
