"""Layers that compute exactly what the PyTorch layers of the published weights do, NHWC.

Kernels are HWIO. New layers are in evaluation mode; `module.train()` and `module.eval()` switch
those that keep statistics (`SpectralConv`, `BatchNorm`).
"""

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.networks import local_statistics
from msdi_jax.networks.convolution import (
    convolve,
    convolve_depthwise,
    convolve_doubled,
    depth_to_space,
)


class PowerIteration(nnx.BatchStat):
    """The latest estimate of a leading singular vector, for spectral normalisation."""


def uniform_fan_in(key: Array, shape: tuple[int, ...], fan_in: int) -> Array:
    """Draw from U(-1, 1) / sqrt(fan_in), PyTorch's default initialisation of convolutions."""

    def draw(key_data: np.ndarray) -> np.ndarray:
        generator = np.random.default_rng(key_data.tolist())
        return (generator.uniform(-1, 1, shape) / fan_in**0.5).astype(np.float32)

    return _by_numpy(draw, jax.ShapeDtypeStruct(shape, jnp.float32), jax.random.key_data(key))


def leading_vectors(kernel: Array, key: Array, iterations: int = 15) -> list[Array]:
    """Return (u, v) of a kernel by power iteration from a random start, as PyTorch does.

    Without it, the singular value of a new layer would come from random vectors and may be near 0.
    """
    outputs = kernel.shape[-1]
    inputs = kernel.size // outputs

    def iterate(key_data: np.ndarray, kernel: np.ndarray) -> list[np.ndarray]:
        matrix = kernel.reshape(inputs, outputs)
        u = np.random.default_rng(key_data.tolist()).standard_normal(outputs)
        for _ in range(iterations):
            v = matrix @ u
            v /= np.linalg.norm(v)
            u = v @ matrix
            u /= np.linalg.norm(u)
        return [u.astype(np.float32), v.astype(np.float32)]

    results = [jax.ShapeDtypeStruct((n,), jnp.float32) for n in (outputs, inputs)]
    return _by_numpy(iterate, results, jax.random.key_data(key), kernel)


def _by_numpy(function: Callable, results: Any, *arguments: Array) -> Any:
    """Call `function` with NumPy arrays, by a callback if its arguments are traced.

    A network has hundreds of arrays in a hundred shapes. Compiling `jax.random` for all of them
    takes most of a minute, compiling callbacks half a minute.
    """

    def on_host(*arrays: Array) -> Any:
        return function(*map(np.asarray, arrays))

    if any(isinstance(x, jax.core.Tracer) for x in arguments):
        return jax.pure_callback(on_host, results, *arguments)
    return jax.tree.map(jnp.asarray, on_host(*arguments))


def leaky_relu(x: Array) -> Array:
    return nnx.leaky_relu(x, negative_slope=0.2)


class Conv(nnx.Module):
    """Convolution `size`×`size`; the default zero padding is (size - 1) // 2."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = True,
        rngs: nnx.Rngs,
    ):
        fan_in = inputs * size * size
        self.stride = stride
        self.padding = (size - 1) // 2 if padding is None else padding
        self.kernel = nnx.Param(
            uniform_fan_in(rngs.params(), (size, size, inputs, outputs), fan_in)
        )
        self.bias = nnx.Param(uniform_fan_in(rngs.params(), (outputs,), fan_in)) if bias else None

    def convolve(self, x: Array, kernel: Array) -> Array:
        return convolve(x, kernel, stride=self.stride, padding=self.padding)

    def __call__(self, *parts: Float[Array, "b h w _"]) -> Float[Array, "b h2 w2 o"]:
        """Convolve the concatenated channels of `parts`, without concatenating them in memory."""
        ends = itertools.accumulate(x.shape[-1] for x in parts[:-1])
        kernels = jnp.split(self.kernel[...], list(ends), axis=2)
        # The type of the weights is the one to compute in: images stay float32.
        y = functools.reduce(
            operator.add,
            (self.convolve(x.astype(k.dtype), k) for x, k in zip(parts, kernels, strict=True)),
        )
        return y if self.bias is None else y + self.bias[...]


class DepthwiseConv(nnx.Module):
    """3×3 convolution of each channel by itself."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.kernel = nnx.Param(uniform_fan_in(rngs.params(), (3, 3, 1, channels), 9))
        self.bias = nnx.Param(uniform_fan_in(rngs.params(), (channels,), 9))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return convolve_depthwise(x, self.kernel[...]) + self.bias[...]


class DoublingConv(Conv):
    """3×3 `Conv` of the input, doubled by nearest-neighbour and padded by reflection."""

    def convolve(self, x: Array, kernel: Array) -> Array:
        return convolve_doubled(x, kernel)


class SpectralConv(Conv):
    """`Conv` whose kernel is divided by its largest singular value, as PyTorch estimates it.

    In training mode, every call does one step of power iteration first. Gradients flow through the
    kernel and the singular value, not through the vectors `u` and `v`.
    """

    def __init__(self, inputs: int, outputs: int, size: int, *, rngs: nnx.Rngs, **options):
        super().__init__(inputs, outputs, size, rngs=rngs, **options)
        u, v = leading_vectors(self.kernel[...], rngs.params())
        self.u = PowerIteration(u)
        self.v = PowerIteration(v)
        self.use_running_average = True

    def singular_value(self) -> Array:
        """Return the estimated largest singular value; in training mode, update u and v first."""
        matrix = _matrix(self.kernel[...])
        if not self.use_running_average:
            fixed = jax.lax.stop_gradient(matrix)
            # `set_value`, since `variable[...] = x` queries the sharding of a traced x, and the
            # error that it swallows took three quarters of the time to trace a training step.
            self.v.set_value(_unit(fixed @ self.u[...]))
            self.u.set_value(_unit(self.v[...] @ fixed))
        return self.v[...] @ matrix @ self.u[...]

    def convolve(self, x: Array, kernel: Array) -> Array:
        # Dividing the output avoids a divided copy of the kernel, which is often larger.
        y = super().convolve(x, kernel)
        return y / self.singular_value().astype(y.dtype)


class DoublingSpectralConv(SpectralConv, DoublingConv):
    """`DoublingConv` with the kernel of a `SpectralConv`."""


def singular_values(network: nnx.Module) -> list[Array]:
    """Return the estimated σ by which each `SpectralConv` of `network` divides its kernel."""
    return [
        jnp.einsum("i,io,o->", layer.v[...], _matrix(layer.kernel[...]), layer.u[...])
        for _, layer in nnx.iter_graph(network)
        if isinstance(layer, SpectralConv)
    ]


def _matrix(kernel: Array) -> Array:
    return kernel.reshape(-1, kernel.shape[-1])


def _unit(x: Array) -> Array:
    return x / jnp.maximum(jnp.linalg.norm(x), 1e-12)


class UpConv(nnx.Module):
    """Transposed 2×2 convolution with stride 2: every pixel becomes a 2×2 block."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        # PyTorch counts the fan-in of a transposed convolution from its outputs.
        fan_in = outputs * 4
        self.kernel = nnx.Param(uniform_fan_in(rngs.params(), (2, 2, inputs, outputs), fan_in))
        self.bias = nnx.Param(uniform_fan_in(rngs.params(), (outputs,), fan_in))

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b 2*h 2*w o"]:
        # XLA compiles an einsum to a product with pixels last; moving them back is slow on CPUs.
        kernel = self.kernel[...].transpose(2, 0, 1, 3).reshape(1, 1, x.shape[-1], -1)
        return depth_to_space(convolve(x, kernel), 2) + self.bias[...]


def instance_norm(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Normalise to zero mean and unit biased variance per image and channel.

    Computed in float32 or wider.
    """
    mean, factor = _moments(x)
    return ((x.astype(mean.dtype) - mean) * factor).astype(x.dtype)


def _moments(x: Float[Array, "b h w c"]) -> tuple[Array, Array]:
    """Return mean and reciprocal deviation per image and channel, in float32 or wider."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = local_statistics.spatial_mean(wide)
    variance = local_statistics.spatial_mean(jnp.square(wide - mean))
    return mean, jax.lax.rsqrt(variance + 1e-5)


class InstanceNorm(nnx.Module):
    """`instance_norm` as a module, interchangeable with other norms."""

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return instance_norm(x)


class HalfInstanceNorm(nnx.Module):
    """Affine instance norm of the first half of the channels; the others are unchanged (HINet).

    Attributes:
        window: side of the windows over which statistics are taken, px of the features, see
            `local_statistics`; None, as in training: the whole image.
    """

    def __init__(self, channels: int):
        self.channels, self.half = channels, channels // 2
        self.window: int | None = None
        self.scale = nnx.Param(jnp.ones(self.half))
        self.bias = nnx.Param(jnp.zeros(self.half))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        # The other half is normalised with mean 0 and scale 1: splitting and concatenating the
        # channels would cost two more passes over memory.
        half = x[..., : self.half]
        mean, factor = (
            local_statistics.moments(half, self.window) if self.window else _moments(half)
        )
        rest = ((0, 0), (0, 0), (0, 0), (0, x.shape[-1] - self.half))
        mean = jnp.pad(mean, rest)
        factor = jnp.pad(factor * self.scale[...], rest, constant_values=1)
        bias = jnp.pad(self.bias[...], rest[-1])
        wide = x.astype(mean.dtype)
        return ((wide - mean) * factor + bias).astype(x.dtype)


class LayerNorm(nnx.Module):
    """Affine normalisation over the channels of each pixel, in float32 or wider."""

    def __init__(self, channels: int):
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        wide = wide - wide.mean(-1, keepdims=True)
        y = wide * jax.lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + 1e-6)
        return (y * self.scale[...] + self.bias[...]).astype(x.dtype)


class BatchNorm(nnx.Module):
    """Batch normalisation without affine parameters, with PyTorch's running statistics.

    Args:
        channels: number of features.
        groups: number of equal parts in which the batch is normalised. 1 is the whole (global)
            batch; the published training normalised the part of each process separately.
    """

    def __init__(self, channels: int, *, groups: int = 1):
        self.groups = groups
        self.mean = nnx.BatchStat(jnp.zeros(channels))
        self.var = nnx.BatchStat(jnp.ones(channels))
        self.use_running_average = True

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if self.use_running_average:
            y = (wide - self.mean[...]) * jax.lax.rsqrt(self.var[...] + 1e-5)
            return y.astype(x.dtype)
        grouped = wide.reshape(self.groups, -1, *x.shape[1:])
        mean = grouped.mean((1, 2, 3), keepdims=True)
        var = jnp.square(grouped - mean).mean((1, 2, 3), keepdims=True)
        count = grouped[0, ..., 0].size
        # PyTorch normalises with the biased variance, but its running variance is unbiased.
        self._update_statistics(mean.mean(0).ravel(), var.mean(0).ravel() * count / (count - 1))
        return ((grouped - mean) * jax.lax.rsqrt(var + 1e-5)).reshape(x.shape).astype(x.dtype)

    def _update_statistics(self, mean: Array, var: Array) -> None:
        self.mean.set_value(0.9 * self.mean[...] + 0.1 * jax.lax.stop_gradient(mean))
        self.var.set_value(0.9 * self.var[...] + 0.1 * jax.lax.stop_gradient(var))


def average_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 c"]:
    """Average 2×2 pixels."""
    return nnx.avg_pool(x, (2, 2), (2, 2))
