"""Cross-correlation with stride 1, and its gradients. NHWC, kernels HWIO."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from msdi_jax.runtime import target
from msdi_jax.runtime.mesh import shares_rows

# Zeros before and after the rows, and before and after the columns.
Padding = tuple[tuple[int, int], tuple[int, int]]

NO_PADDING = ((0, 0), (0, 0))
# With fewer input and output channels, XLA's kernel gradient is faster than matrix products.
PRODUCT_CHANNELS = 32


def correlate(x: Array, kernel: Array, padding: Padding = NO_PADDING) -> Array:
    """Return XLA's convolution, with exceptions for cases in which its CPU backend is slow.

    For float64, XLA runs plain loops. Where registers are narrow, its kernel gradient is slower
    than matrix products: slightly for most shapes, ten times for some.
    """
    size, _, *channels = kernel.shape
    if x.dtype == jnp.float64 and size > 1:
        return correlate_as_product(x, kernel, padding)
    wide = size == 1 or max(channels) >= PRODUCT_CHANNELS
    # Flattening images whose rows are spread over devices would gather them.
    if wide and x.dtype == jnp.float32 and target.has_narrow_registers() and not shares_rows():
        return _correlate_with_products(x, kernel, padding)
    return _correlate(x, kernel, padding)


def correlate_as_product(x: Array, kernel: Array, padding: Padding) -> Array:
    """Multiply the window around each pixel by the kernel as a matrix, as it is in memory.

    XLA's convolution first packs the kernel, which takes up to five times as long as the products.
    """
    rows, columns, inputs, outputs = kernel.shape
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    height, width = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    windows = [x[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)]
    matrix = kernel.reshape(1, 1, rows * columns * inputs, outputs)
    return correlate(jnp.concatenate(windows, axis=-1), matrix)


def _correlate(x: Array, kernel: Array, padding: Padding) -> Array:
    if kernel.shape[:2] == (1, 1) and padding == NO_PADDING:
        return x @ kernel[0, 0]
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _correlate_with_products(x: Array, kernel: Array, padding: Padding) -> Array:
    """`_correlate`, with the kernel gradient as matrix products."""
    return _correlate(x, kernel, padding)


def _forward(x: Array, kernel: Array, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return _correlate(x, kernel, padding), (x, kernel)


def _backward(padding: Padding, inputs: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = inputs
    _, pull_back = jax.vjp(lambda x: _correlate(x, kernel, padding), x)
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    return *pull_back(dy), _gradient_of_kernel(x, dy, kernel.shape[1]).reshape(kernel.shape)


_correlate_with_products.defvjp(_forward, _backward)


def _gradient_of_kernel(
    x: Float[Array, "b h w i"], dy: Float[Array, "b h2 w2 o"], columns: int
) -> Float[Array, "h-h2+1 columns*i o"]:
    """Compute one matrix product per kernel row: the pixels under its taps times `dy`."""
    _, height, width, outputs = dy.shape
    x = jnp.concatenate([x[:, :, j : j + width] for j in range(columns)], axis=-1)
    rows = (x[:, i : i + height] for i in range(x.shape[1] - height + 1))
    dy = dy.reshape(-1, outputs)
    return jnp.stack([row.reshape(-1, x.shape[-1]).T @ dy for row in rows])
