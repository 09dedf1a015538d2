"""Winograd's F(4×4, 3×3): 36 products where a 3×3 convolution has 144. NHWC, kernels HWIO.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. A tile of 4×4 pixels
of the output sees 6×6 of the input. Their sums meet those of the taps channel by channel, in one
matrix product for each of the 36, and what comes out is summed again. Sums along an axis evaluate
polynomials at 0, -1, 1, 1/2, -2 and infinity, which err half as much as with -1/2 in place of
-2 (how points do: Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd
Convolution for Deep Neural Networks", ACM TOMS 46, 2020).
"""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

TILE = 4
# Sums that a tile has along an axis, as many as the pixels that it sees.
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
# Along both axes, by columns first, as tiles are.
_OF_KERNEL = np.einsum("jb,ia->jiab", _OF_TAPS, _OF_TAPS).reshape(SUMS**2, -1)


def convolve(
    x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"], padding: int
) -> Float[Array, "b h+2*padding-2 w+2*padding-2 o"]:
    """Cross-correlation with stride 1 of `x`, with `padding` zeros on all sides."""
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
    """Of a scalar by `x` and by `kernel`, given the one by what `convolve` made of them.

    What JAX would derive takes half as long again, and keeps the sums of pixels.
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
    """To `height` and `width`, with zeros, so many of them `before` the first row and column."""
    after = (
        side - before - given for side, given in zip((height, width), x.shape[1:3], strict=True)
    )
    return jnp.pad(x, ((0, 0), *((before, n) for n in after), (0, 0)))


def _sums_of_pixels(x: Float[Array, "b 4*t+2 4*u+2 i"]) -> Float[Array, "36 b*t*u i"]:
    rows = _combine(_OF_PIXELS, _seen(x, 1))
    return _combine(_OF_PIXELS, _seen(rows, 3)).reshape(SUMS**2, -1, x.shape[-1])


def _sums_of_outputs(dy: Float[Array, "b 4*t 4*u o"]) -> Float[Array, "36 b*t*u o"]:
    """What the gradient of the products is."""
    weights = tuple(zip(*_OF_PRODUCTS, strict=True))
    rows = _combine(weights, [dy[:, i::TILE] for i in range(TILE)])
    columns = _combine(weights, [rows[:, :, :, j::TILE] for j in range(TILE)])
    return columns.reshape(SUMS**2, -1, dy.shape[-1])


def _sums_of_taps(kernel: Float[Array, "3 3 i o"]) -> Float[Array, "36 i o"]:
    sums = _OF_KERNEL.astype(kernel.dtype) @ kernel.reshape(9, -1)
    return sums.reshape(SUMS**2, *kernel.shape[2:])


def _seen(x: Array, axis: int) -> list[Array]:
    """First pixels of all tiles along `axis`, second pixels and so on."""
    last = x.shape[axis] - SUMS
    return [jax.lax.slice_in_dim(x, i, i + last + 1, TILE, axis) for i in range(SUMS)]


def _combine(weights: Sequence[Sequence[float]], parts: Sequence[Array], axis: int = 0) -> Array:
    """The weighted sums of the parts, one for each row of weights, along a new axis."""
    # As a matrix product they would take longer: there are too few.
    terms = ([w * part for w, part in zip(row, parts, strict=True) if w] for row in weights)
    return jnp.stack([functools.reduce(operator.add, row) for row in terms], axis)
