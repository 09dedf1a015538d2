"""Depthwise convolution as nine products: XLA's grouped ones are slow on CPUs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def correlate_depthwise(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 1 c"]
) -> Float[Array, "b h w c"]:
    """Return the 3×3 correlation of each channel with a kernel of its own, zero-padded."""
    height, width = x.shape[1:3]
    x = _padded(x)
    return sum(
        x[:, i : i + height, j : j + width] * kernel[i, j] for i in range(3) for j in range(3)
    )


def _padded(x: Array) -> Array:
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


@jax.custom_vjp
def correlate_depthwise_on_cpu(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 1 c"]
) -> Float[Array, "b h w c"]:
    """Return the same; the kernel's gradient is computed row by row.

    Of nine sums over all pixels, each would compute the operations before it again, and XLA's sums
    over leading axes are slow on CPUs: a NAFNet's finest block took seven times longer.
    """
    return correlate_depthwise(x, kernel)


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return correlate_depthwise(x, kernel), (x, kernel)


def _backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    return correlate_depthwise(gradient, kernel[::-1, ::-1]), _kernel_gradient(x, gradient)


def _kernel_gradient(x: Array, gradient: Array) -> Float[Array, "3 3 1 c"]:
    batch, height, width, channels = x.shape
    x = _padded(x)

    def add_row(total: Array, row: Array) -> tuple[Array, None]:
        above = jax.lax.dynamic_slice_in_dim(x, row, 3, 1)
        here = jax.lax.dynamic_index_in_dim(gradient, row, 1, keepdims=False)
        taps = [above[:, i, j : j + width] * here for i in range(3) for j in range(3)]
        return total + jnp.stack(taps), None

    start = jnp.zeros((9, batch, width, channels), x.dtype)
    total, _ = jax.lax.scan(add_row, start, jnp.arange(height))
    return total.sum((1, 2)).reshape(3, 3, 1, channels)


correlate_depthwise_on_cpu.defvjp(_forward, _backward)
