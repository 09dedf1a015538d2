"""Convolution, rewritten exactly for shapes on which compilers are slow. NHWC, kernels HWIO."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from msdi_jax.networks.rewrites import winograd
from msdi_jax.networks.rewrites.correlation import correlate, correlate_as_product
from msdi_jax.networks.rewrites.depthwise import (
    correlate_depthwise,
    correlate_depthwise_on_cpu,
)
from msdi_jax.networks.rewrites.plain import is_plain, named_when_plain
from msdi_jax.runtime import target
from msdi_jax.runtime.mesh import shares_rows

# A 3×3 convolution with at most this many input and output channels works on pairs of columns. An
# AVX-512 register holds 16 values; the limit is halved where registers are half as wide. By the
# account of v5e's compiler, 16 channels and their gradients take 1.42 M cycles instead of 2.35 M,
# 4 channels 0.51 M instead of 0.85 M. An H100 would start 9 kernels instead of 6.
FEW_CHANNELS = 16
# A 3×3 convolution with at least this many input and output channels uses Winograd's algorithm on a
# CPU. With fewer, writing and reading the sums takes about as long as the products that they save.
# The limit is halved where registers are narrow, since products are slower there, and for
# gradients, since XLA's own gradients are slower.
MANY_CHANNELS = 128
# Winograd's algorithm is used up to this number of values per image, in the input and the output.
# Beyond it, the sums take more memory than the saved time is worth.
MANY_VALUES = 256 * 256 * 64


def convolve(x: Array, kernel: Array, *, stride: int = 1, padding: int = 0) -> Array:
    """Return the cross-correlation of NHWC `x` with an HWIO kernel and symmetric zero padding.

    XLA's CPU backend is slow on these shapes, which are rewritten exactly, unless the target is
    "plain":

    * 1×1 kernels: a matrix product.
    * Stride 2: a stride-1 convolution of the space-to-depth image. The input gradient is otherwise
      an order of magnitude slower.
    * Few channels: a convolution of pairs of columns, except on GPUs.
    * Many channels: Winograd's algorithm, unless the image is large. This one applies to CPUs only,
      since other backends choose their own algorithm.
    * Images with no more pixels than the kernel has outputs: a matrix product.
    * No padding, or padding that makes the output larger than the input: columns are padded
      separately.

    For the plain target, nothing is rewritten.

    Raises:
        ValueError: `stride` is neither 1 nor 2.
    """
    if stride not in (1, 2):
        raise ValueError(f"stride={stride} must be 1 or 2")
    if is_plain():
        return _convolve_plainly(x, kernel, stride, padding)
    size = kernel.shape[0]
    if stride == 2:
        return _convolve_stride_2(x, kernel, padding)
    if size == 1 and padding == 0:
        return correlate(x, kernel)
    if _is_small(x.shape[1:3], kernel):
        return correlate_as_product(x, kernel, ((padding, padding),) * 2)
    if _suits_pairs(x, kernel, padding):
        return _convolve_in_pairs(x, kernel)
    if _suits_winograd(x, kernel, padding):
        return _convolve_many_channels(x, kernel, padding)
    return _convolve_directly(x, kernel, padding)


def _convolve_plainly(
    x: Array, kernel: Array, stride: int = 1, padding: int = 0, groups: int = 1
) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((padding, padding),) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _convolve_directly(x: Array, kernel: Array, padding: int) -> Array:
    columns = (padding, padding)
    if padding == 0:
        # Without padding, XLA's CPU backend takes a path that is four times as slow.
        columns = (0, 1)
    elif 2 * padding >= kernel.shape[0]:
        # If the output is larger than the input, XLA's kernel gradient is thirty times as slow.
        x, columns = jnp.pad(x, ((0, 0), (0, 0), columns, (0, 0))), (0, 0)
    y = correlate(x, kernel, ((padding, padding), columns))
    return y[:, :, :-1] if padding == 0 else y


def _is_small(size: tuple[int, int], kernel: Array) -> bool:
    """Return whether moving an image of `size` in memory costs less than moving the kernel."""
    return size[0] * size[1] <= kernel.shape[-1]


def _has_many_channels(kernel: Array, least: int) -> bool:
    return min(kernel.shape[2:]) >= least // (2 if target.has_narrow_registers() else 1)


def _suits_winograd(x: Array, kernel: Array, padding: int) -> bool:
    many = _has_many_channels(kernel, MANY_CHANNELS // 2)
    size = [side + 2 * padding - 2 for side in x.shape[1:3]]
    moderate = math.prod(size) * max(kernel.shape[2:]) <= MANY_VALUES
    # In types shorter than float32, sums over a whole tile lose too many digits.
    suited = kernel.shape[:2] == (3, 3) and padding <= 2 and x.dtype.itemsize >= 4
    return many and moderate and suited and target.current() == "cpu" and not shares_rows()


# A network has many convolutions of few shapes: each shape is traced and lowered once.
_once_per_shape = functools.partial(jax.jit, static_argnames="padding")


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_many_channels(x: Array, kernel: Array, padding: int) -> Array:
    if not _has_many_channels(kernel, MANY_CHANNELS):
        return _convolve_directly(x, kernel, padding)
    return _by_winograd(x, kernel, padding)


@_once_per_shape
def _by_winograd(x: Array, kernel: Array, padding: int) -> Array:
    """Choose by platform at lowering: a program traced on a CPU may be exported for a GPU."""
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(winograd.convolve, padding=padding),
        default=functools.partial(_convolve_directly, padding=padding),
    )


def _forward(x: Array, kernel: Array, padding: int) -> tuple[Array, tuple[Array, Array]]:
    return _convolve_many_channels(x, kernel, padding), (x, kernel)


def _backward(padding: int, inputs: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    return _gradients_by_winograd(*inputs, dy, padding)


@_once_per_shape
def _gradients_by_winograd(x: Array, kernel: Array, dy: Array, padding: int) -> tuple[Array, Array]:
    def default(x: Array, kernel: Array, dy: Array) -> tuple[Array, Array]:
        _, pull_back = jax.vjp(functools.partial(_convolve_directly, padding=padding), x, kernel)
        return pull_back(dy)

    cpu = functools.partial(winograd.gradients, padding=padding)
    return jax.lax.platform_dependent(x, kernel, dy, cpu=cpu, default=default)


_convolve_many_channels.defvjp(_forward, _backward)


def _suits_pairs(x: Array, kernel: Array, padding: int) -> bool:
    few = max(kernel.shape[2:]) <= FEW_CHANNELS // (2 if target.has_narrow_registers() else 1)
    suited = kernel.shape[0] == 3 and padding == 1 and x.shape[2] % 2 == 0
    return few and suited and target.current() != "cuda"


def _convolve_in_pairs(x: Array, kernel: Array) -> Array:
    """Convolve pairs of columns with twice the channels: two taps instead of three.

    Two neighbouring output columns depend on four columns of the padded input, which are two pairs.
    A quarter of the products are with zeros, but the fuller registers save more than that.
    """
    batch, height, width, inputs = x.shape
    outputs = kernel.shape[-1]
    x = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    x = x.reshape(batch, height, width // 2 + 1, 2 * inputs)
    left, right = (jnp.pad(kernel, ((0, 0), (i, 1 - i), (0, 0), (0, 0))) for i in (0, 1))
    kernel = jnp.stack([left, right], axis=3).reshape(3, 2, 2 * inputs, 2 * outputs)
    # The convolution itself pads the rows, so that devices that share rows exchange edges only.
    y = correlate(x, kernel, ((1, 1), (0, 0)))
    return y.reshape(batch, height, width, outputs)


def _convolve_stride_2(x: Array, kernel: Array, padding: int) -> Array:
    """Convolve 2×2 blocks with stride 1: the pixels of a block and their taps become channels."""
    *_, height, width, channels = x.shape
    size, _, _, outputs = kernel.shape
    taps = (size + 1) // 2
    outs = [(n + 2 * padding - size) // 2 + 1 for n in (height, width)]
    after = [
        2 * (n + taps - 1) - length - padding for n, length in zip(outs, x.shape[1:3], strict=True)
    ]
    odd = 2 * taps - size
    kernel = jnp.pad(kernel, ((0, odd), (0, odd), (0, 0), (0, 0)))
    x = jax.lax.pad(
        x,
        jnp.zeros((), x.dtype),
        ((0, 0, 0), (padding, after[0], 0), (padding, after[1], 0), (0, 0, 0)),
    )
    x = space_to_depth(x, 2)
    kernel = kernel.reshape(taps, 2, taps, 2, channels, outputs)
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5).reshape(taps, taps, 4 * channels, outputs)
    return convolve(x, kernel)


def convolve_depthwise(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 1 c"]
) -> Float[Array, "b h w c"]:
    """Return the 3×3 correlation of each channel with a kernel of its own, zero-padded.

    Nine products: XLA's grouped convolutions are slow on CPUs, and gather the batch of all devices
    in the kernel's gradient (openxla/xla issue 47945).
    """
    if is_plain():
        return _convolve_plainly(x, kernel, padding=1, groups=x.shape[-1])
    if target.current() == "cpu" and not shares_rows():
        return correlate_depthwise_on_cpu(x, kernel)
    return correlate_depthwise(x, kernel)


@named_when_plain
def pixel_shuffle(
    x: Float[Array, "b h w c"], side: int
) -> Float[Array, "b h*side w*side c//side**2"]:
    """Make a square of every pixel; its channels are next to each other, as in PyTorch."""
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height, width, -1, side, side).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(batch, height * side, width * side, -1)


@named_when_plain
def space_to_depth(
    x: Float[Array, "b h w c"], side: int
) -> Float[Array, "b h//side w//side c*side*side"]:
    """Merge every square of `side` × `side` pixels into one pixel with side² times the channels."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // side, width // side, -1)


@named_when_plain
def depth_to_space(
    x: Float[Array, "b h w c"], side: int
) -> Float[Array, "b h*side w*side c//side**2"]:
    """Invert `space_to_depth`."""
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height, width, side, side, -1)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * side, width * side, -1)


@named_when_plain
def double(x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w c"]:
    """Double the size by nearest-neighbour."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


@named_when_plain
def reflect_pad(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b h+2*size w+2*size c"]:
    """Pad by reflection; the edge pixel is not repeated."""
    return jnp.pad(x, ((0, 0), (size, size), (size, size), (0, 0)), mode="reflect")


@named_when_plain
def edge_pad(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b h+2*size w+2*size c"]:
    """Pad by the edge pixels."""
    return jnp.pad(x, ((0, 0), (size, size), (size, size), (0, 0)), mode="edge")


def convolve_doubled(
    x: Float[Array, "b h w i"], kernel: Float[Array, "3 3 i o"]
) -> Float[Array, "b 2*h 2*w o"]:
    """Return the 3×3 convolution of `x`, doubled by nearest-neighbour and padded by reflection.

    Computed at the size of `x`: two of the three taps along an axis always meet the same pixel, so
    each parity of the output is a convolution with two taps, and the reflection repeats the edge.
    All four parities share one 2×2 convolution, from which each takes its own window. For small
    images, assembling that kernel would take longer than it saves.
    """
    batch, height, width, _ = x.shape
    if is_plain() or _is_small((2 * height, 2 * width), kernel):
        return convolve(edge_pad(double(x), 1), kernel)
    taps = _pair_taps(_pair_taps(kernel[None, None], 2), 3).transpose(2, 3, 4, 0, 1, 5)
    x = edge_pad(x, 1)
    y = convolve(x, taps.reshape(*taps.shape[:3], -1))
    y = y.reshape(*y.shape[:3], 2, 2, -1)
    rows = [
        jnp.stack([y[:, i : i + height, j : j + width, i, j] for j in (0, 1)], axis=3)
        for i in (0, 1)
    ]
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, -1)


def _pair_taps(kernel: Array, axis: int) -> Array:
    """Sum three taps along `axis` to two per output parity; parities are on axis `axis - 2`."""
    first, middle, last = jnp.split(kernel, 3, axis)
    even = jnp.concatenate([first, middle + last], axis)
    odd = jnp.concatenate([first + middle, last], axis)
    return jnp.concatenate([even, odd], axis - 2)
