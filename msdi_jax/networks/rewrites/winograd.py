"""Winograd's F(4×4, 3×3): 36 products where a 3×3 convolution has 144. NHWC, kernels HWIO.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. A tile of 4×4 output
pixels depends on 6×6 input pixels. These are summed to 36 values, and the taps too. Each of the 36
is one matrix product over the channels, and the products are summed to the output. Sums along an
axis evaluate polynomials at 0, -1, 1, 1/2, -2 and infinity. Their rounding error is half of that
with -1/2 in place of -2. On the choice of points: Barabasz et al., "Error Analysis and Improving
the Accuracy of Winograd Convolution for Deep Neural Networks", ACM TOMS 46, 2020.
"""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

TILE = 4
# Number of sums of a tile along an axis; equal to the number of input pixels that it depends on.
SUMS = TILE + 2

_OF_PIXELS = (
    (1, -3 / 2, -2, 3 / 2, 1, 0),
    (0, 1, -5 / 2, 1 / 2, 1, 0),
    (0, -1, 1 / 2, 5 / 2, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 1 / 2, -1, -1 / 2, 1, 0),
    (0, 1, -3 / 2, -2, 3 / 2, 1),
)
_OF_TAPS = (
    (1, 0, 0),
    (-1 / 3, 1 / 3, -1 / 3),
    (1 / 3, 1 / 3, 1 / 3),
    (-16 / 15, -8 / 15, -4 / 15),
    (1 / 15, -2 / 15, 4 / 15),
    (0, 0, 1),
)
_OF_PRODUCTS = (
    (1, 1, 1, 1, 1, 0),
    (0, -1, 1, 1 / 2, -2, 0),
    (0, 1, 1, 1 / 4, 4, 0),
    (0, -1, 1, 1 / 8, -8, 1),
)
# Both axes, columns first, in the order of the tiles.
_OF_KERNEL = np.einsum("jb,ia->jiab", _OF_TAPS, _OF_TAPS).reshape(SUMS**2, -1)


def convolve(
    x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"], padding: int
) -> Float[Array, "b h+2*padding-2 w+2*padding-2 o"]:
    """Return the cross-correlation of `x` with stride 1 and `padding` zeros on all sides."""
    height, width = (side + 2 * padding - 2 for side in x.shape[1:3])
    rows, columns = (_whole_tiles(side) for side in (height, width))
    sums = _sums_of_pixels(_padded(x, padding, rows + 2, columns + 2))
    products = jnp.einsum("nti,nio->nto", sums, _sums_of_taps(kernel))
    tiles = products.reshape(SUMS, SUMS, x.shape[0], rows // TILE, columns // TILE, -1)
    lines = _combine(_OF_PRODUCTS, list(tiles), axis=4)
    y = _combine(_OF_PRODUCTS, list(lines), axis=2)
    return y.reshape(x.shape[0], rows, columns, -1)[:, :height, :width]


def gradients(
    x: Float[Array, "b h w i"],
    kernel: Float[Array, "3 3 i o"],
    dy: Float[Array, "b h+2*padding-2 w+2*padding-2 o"],
    padding: int,
) -> tuple[Float[Array, "b h w i"], Float[Array, "3 3 i o"]]:
    """Return the gradients by `x` and by `kernel`, given the gradient `dy` by the output.

    Automatic differentiation would take half as long again, and keep the sums of pixels.
    """
    rows, columns = (_whole_tiles(side) for side in dy.shape[1:3])
    sums = _sums_of_pixels(_padded(x, padding, rows + 2, columns + 2))
    by_taps = jnp.einsum("nti,nto->nio", sums, _sums_of_outputs(_padded(dy, 0, rows, columns)))
    by_kernel = _OF_KERNEL.T.astype(x.dtype) @ by_taps.reshape(SUMS**2, -1)
    by_x = convolve(dy, kernel[::-1, ::-1].swapaxes(2, 3), 2 - padding)
    return by_x, by_kernel.reshape(kernel.shape)


def _whole_tiles(side: int) -> int:
    return -(-side // TILE) * TILE


def _padded(x: Array, before: int, height: int, width: int) -> Array:
    """Pad to `height` and `width` with zeros, `before` of them at the top and at the left."""
    after = (side - before - size for side, size in zip((height, width), x.shape[1:3], strict=True))
    return jnp.pad(x, ((0, 0), *((before, n) for n in after), (0, 0)))


def _sums_of_pixels(x: Float[Array, "b 4*t+2 4*u+2 i"]) -> Float[Array, "36 b*t*u i"]:
    rows = _combine(_OF_PIXELS, _tile_pixels(x, 1))
    return _combine(_OF_PIXELS, _tile_pixels(rows, 3)).reshape(SUMS**2, -1, x.shape[-1])


def _sums_of_outputs(dy: Float[Array, "b 4*t 4*u o"]) -> Float[Array, "36 b*t*u o"]:
    """Return the gradient by the products, given that by the outputs."""
    weights = tuple(zip(*_OF_PRODUCTS, strict=True))
    rows = _combine(weights, [dy[:, i::TILE] for i in range(TILE)])
    columns = _combine(weights, [rows[:, :, :, j::TILE] for j in range(TILE)])
    return columns.reshape(SUMS**2, -1, dy.shape[-1])


def _sums_of_taps(kernel: Float[Array, "3 3 i o"]) -> Float[Array, "36 i o"]:
    sums = _OF_KERNEL.astype(kernel.dtype) @ kernel.reshape(9, -1)
    return sums.reshape(SUMS**2, *kernel.shape[2:])


def _tile_pixels(x: Array, axis: int) -> list[Array]:
    """Return the first pixels of all tiles along `axis`, the second pixels and so on."""
    last = x.shape[axis] - SUMS
    return [jax.lax.slice_in_dim(x, i, i + last + 1, TILE, axis) for i in range(SUMS)]


def _combine(weights: Sequence[Sequence[float]], parts: Sequence[Array], axis: int = 0) -> Array:
    """Return the weighted sums of the parts, one per row of weights, along a new axis."""
    # A matrix product would take longer: there are too few parts.
    terms = ([w * part for w, part in zip(row, parts, strict=True) if w] for row in weights)
    return jnp.stack([functools.reduce(operator.add, row) for row in terms], axis)
