"""Layers, against PyTorch's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch.nn import functional

from msdi_jax.networks import convolution, layers
from msdi_jax.networks.functional import arrays_of, merge, split
from tests.networks.pytorch import assert_close, hwio, nchw, nhwc, normal, oihw, set_arrays, tensor


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(1, 1, None), (3, 1, None), (7, 1, 0), (3, 2, None), (4, 2, 1)]
)
def test_conv_is_pytorchs(size, stride, padding, bias):
    conv = layers.Conv(3, 5, size, stride=stride, padding=padding, bias=bias, rngs=nnx.Rngs(0))
    assert (conv.bias is not None) == bias
    x = normal(1, 33, 40, 3).astype(np.float32)
    expected = functional.conv2d(
        nchw(x),
        oihw(conv.kernel[...]),
        tensor(conv.bias[...]) if bias else None,
        stride=stride,
        padding=(size - 1) // 2 if padding is None else padding,
    )
    assert_close(conv(x), nhwc(expected), 1e-6)


def unit(size):
    return normal(size) / np.linalg.norm(normal(size))


def spectral_pair(stride=1):
    """Our layer and PyTorch's, with the same kernel and vectors, in float64."""
    ours = layers.SpectralConv(3, 5, 3, stride=stride, rngs=nnx.Rngs(0))
    set_arrays(ours, kernel=normal(3, 3, 3, 5), bias=normal(5), u=unit(5), v=unit(27))
    theirs = torch.nn.Conv2d(3, 5, 3, stride=stride, padding=1, dtype=torch.float64)
    theirs = torch.nn.utils.spectral_norm(theirs)
    with torch.no_grad():
        theirs.weight_orig.copy_(oihw(ours.kernel[...]))
        theirs.bias.copy_(tensor(ours.bias[...]))
        theirs.weight_u.copy_(tensor(ours.u[...]))
        theirs.weight_v.copy_(tensor(published_v(ours)))
    return ours, theirs


def published_v(layer):
    return np.asarray(layer.v[...]).reshape(3, 3, 3).transpose(2, 0, 1).ravel()


@pytest.mark.parametrize("stride", [1, 2])
def test_spectral_conv_against_pytorch(x64, stride):
    ours, theirs = spectral_pair(stride)
    kernel, x = np.array(ours.kernel[...]), normal(2, 9, 8, 3)
    graph, params, stats = split(ours)

    @partial(jax.jit, static_argnums=2)
    @partial(jax.grad, has_aux=True)
    def step(params, stats, training):
        layer = merge(graph, params, stats, training=training)
        y = layer(x)
        return jnp.square(y).sum(), (y, arrays_of(layer))

    for training in (True, True, True, False):
        theirs.train(training)
        theirs.zero_grad()
        expected = theirs(nchw(x))
        expected.square().sum().backward()
        gradients, (actual, after) = step(params, stats, training)
        assert_close(actual, nhwc(expected))
        assert_close(gradients["kernel"], hwio(theirs.weight_orig.grad))
        moved = not np.array_equal(stats["u"], after["u"])
        assert moved == training
        stats = {name: after[name] for name in stats}
        layer = merge(graph, params, stats)
        assert_close(layer.u[...], theirs.weight_u.numpy())
        assert_close(published_v(layer), theirs.weight_v.numpy())
        np.testing.assert_array_equal(after["kernel"], kernel)


@pytest.mark.parametrize("channels", [(3, 8), (64, 64), (128, 16)])
def test_singular_value_of_a_new_layer_is_nearly_exact(channels):
    layer = layers.SpectralConv(*channels, 3, rngs=nnx.Rngs(1))
    matrix = np.asarray(layer.kernel[...]).reshape(-1, channels[1])
    estimate = np.asarray(layer.v[...]) @ matrix @ np.asarray(layer.u[...])
    true = np.linalg.svd(matrix, compute_uv=False)[0]
    assert 0.9 * true < estimate <= true * (1 + 1e-6)
    np.testing.assert_allclose(
        [np.linalg.norm(layer.u[...]), np.linalg.norm(layer.v[...])], 1, rtol=1e-6
    )


def test_up_conv_is_pytorchs(x64):
    ours = layers.UpConv(6, 4, rngs=nnx.Rngs(0))
    set_arrays(ours, kernel=normal(2, 2, 6, 4), bias=normal(4))
    theirs = torch.nn.ConvTranspose2d(6, 4, 2, stride=2, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(tensor(ours.kernel[...].transpose(2, 3, 0, 1)))
        theirs.bias.copy_(tensor(ours.bias[...]))
    x = normal(2, 5, 7, 6)
    assert_close(ours(x), nhwc(theirs(nchw(x))))


def test_instance_norm_is_pytorchs(x64):
    x = 3 + 1e-2 * normal(2, 5, 7, 4)
    assert_close(layers.instance_norm(x), nhwc(functional.instance_norm(nchw(x), eps=1e-5)), 1e-10)


def test_instance_norm_of_a_small_variance_is_accurate_in_float32():
    x = 100 + normal(1, 16, 16, 2)
    expected = functional.instance_norm(nchw(x.astype(np.float32)).double(), eps=1e-5)
    assert_close(layers.instance_norm(x.astype(np.float32)), nhwc(expected), 1e-5)


def test_half_instance_norm_changes_the_first_half(x64):
    norm = layers.HalfInstanceNorm(6)
    set_arrays(norm, scale=normal(3), bias=1 + normal(3))
    x = normal(2, 5, 7, 6)
    first = functional.instance_norm(
        nchw(x[..., :3]),
        weight=tensor(norm.scale[...]),
        bias=tensor(norm.bias[...]),
        eps=1e-5,
    )
    assert_close(norm(x)[..., :3], nhwc(first))
    np.testing.assert_array_equal(norm(x)[..., 3:], x[..., 3:])


def test_batch_norm_against_pytorch(x64):
    ours, theirs = layers.BatchNorm(3), torch.nn.BatchNorm2d(3, affine=False).double()
    ours.train()
    for scale in (1, 5, 0.1):
        x = 2 + scale * normal(4, 5, 6, 3)
        assert_close(ours(x), nhwc(theirs(nchw(x))))
        assert_close(ours.mean[...], theirs.running_mean.numpy())
        assert_close(ours.var[...], theirs.running_var.numpy())
    ours.eval()
    theirs.eval()
    mean, var = np.array(ours.mean[...]), np.array(ours.var[...])
    assert_close(ours(x), nhwc(theirs(nchw(x))))
    np.testing.assert_array_equal(ours.mean[...], mean)
    np.testing.assert_array_equal(ours.var[...], var)


def test_batch_norm_gradient_is_pytorchs(x64):
    norm, theirs = layers.BatchNorm(3), torch.nn.BatchNorm2d(3, affine=False).double()
    graph, *arrays = split(norm)
    x, pull = normal(4, 5, 6, 3), normal(4, 5, 6, 3) + 1
    inputs = nchw(x).requires_grad_()
    (theirs(inputs) ** 3).backward(nchw(pull))
    loss = lambda x: (pull * merge(graph, *arrays, training=True)(x) ** 3).sum()  # noqa: E731
    actual = jax.jit(jax.grad(loss))(x)
    assert_close(actual, nhwc(inputs.grad))


def test_batch_norm_groups_are_normalised_separately(x64):
    x = normal(4, 5, 6, 3) * np.array([1, 2, 30, 40]).reshape(4, 1, 1, 1)
    grouped, parts = layers.BatchNorm(3, groups=2), [layers.BatchNorm(3) for _ in range(2)]
    for norm in (grouped, *parts):
        norm.train()
    assert_close(grouped(x), np.concatenate([parts[0](x[:2]), parts[1](x[2:])]))
    for name in ("mean", "var"):
        expected = np.mean([getattr(part, name)[...] for part in parts], axis=0)
        assert_close(getattr(grouped, name)[...], expected)


@pytest.mark.parametrize("size", [(6, 8), (7, 9)], ids=str)
def test_average_pool_is_pytorchs(x64, size):
    x = normal(2, *size, 3)
    assert_close(layers.average_pool(x), nhwc(functional.avg_pool2d(nchw(x), 2)))


def test_reflect_pad_and_leaky_relu_are_pytorchs(x64):
    x = normal(2, 5, 7, 3)
    padded = functional.pad(nchw(x), (3, 3, 3, 3), mode="reflect")
    np.testing.assert_array_equal(convolution.reflect_pad(x, 3), nhwc(padded))
    assert_close(
        layers.leaky_relu(jnp.asarray(x)), functional.leaky_relu(torch.tensor(x), 0.2).numpy()
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda r: layers.Conv(32, 64, 3, rngs=r), torch.nn.Conv2d(32, 64, 3)),
        (lambda r: layers.SpectralConv(32, 64, 3, rngs=r), torch.nn.Conv2d(32, 64, 3)),
        (lambda r: layers.UpConv(32, 64, rngs=r), torch.nn.ConvTranspose2d(32, 64, 2, stride=2)),
    ],
    ids=["conv", "spectral", "up"],
)
def test_initialisation_has_pytorchs_distribution(ours, theirs):
    layer = ours(nnx.Rngs(0))
    for array, published in ((layer.kernel, theirs.weight), (layer.bias, theirs.bias)):
        array, published = np.asarray(array[...]), published.detach().numpy()
        # Thousands of uniform draws come close to their bound, 64 biases less close.
        few = array.size < 100
        np.testing.assert_allclose(
            np.abs(array).max(), np.abs(published).max(), rtol=0.15 if few else 2e-3
        )
        np.testing.assert_allclose(array.std(), published.std(), rtol=0.4 if few else 0.03)
        assert abs(array.mean()) < 4 * published.std() / array.size**0.5


def test_initialisation_follows_the_seed():
    def pair(seed):
        rngs = nnx.Rngs(seed)
        return [layers.SpectralConv(3, 4, 3, rngs=rngs) for _ in range(2)]

    (first, second), again, other = pair(0), pair(0)[0], pair(1)[0]
    for name in ("kernel", "bias", "u", "v"):
        values = [np.asarray(getattr(layer, name)[...]) for layer in (first, again, second, other)]
        np.testing.assert_array_equal(values[0], values[1])
        assert not np.allclose(values[0], values[2])
        assert not np.allclose(values[0], values[3])


def test_initialisation_can_be_traced_and_compiled():
    make = lambda: nnx.state(layers.SpectralConv(3, 4, 3, rngs=nnx.Rngs(0)))  # noqa: E731
    eager, abstract, compiled = make(), nnx.eval_shape(make), jax.jit(make)()
    assert jax.tree.map(jnp.shape, abstract) == jax.tree.map(jnp.shape, eager)
    jax.tree.map(np.testing.assert_array_equal, eager, compiled)


@pytest.mark.parametrize(
    "make",
    [
        lambda r: layers.Conv(4, 4, 1, rngs=r),
        lambda r: layers.Conv(4, 4, 3, rngs=r),
        lambda r: layers.Conv(4, 4, 4, stride=2, padding=1, rngs=r),
        lambda r: layers.SpectralConv(4, 4, 3, rngs=r),
        lambda r: layers.UpConv(4, 4, rngs=r),
        lambda r: layers.HalfInstanceNorm(4),
        lambda r: layers.BatchNorm(4),
    ],
    ids=["1×1", "3×3", "stride 2", "spectral", "up", "half norm", "batch norm"],
)
@pytest.mark.parametrize("training", [False, True])
def test_bfloat16_is_kept_and_close_to_float32(make, training):
    layer = make(nnx.Rngs(0))
    x = jnp.asarray(normal(2, 8, 10, 4), jnp.bfloat16)
    graph, params, stats = split(layer)
    # Running statistics stay float32; spectral vectors have the kernel's type.
    narrow = (params, {} if isinstance(layer, layers.BatchNorm) else stats)
    half = tuple(
        a | jax.tree.map(lambda x: x.astype(jnp.bfloat16), b)
        for a, b in zip((params, stats), narrow, strict=True)
    )

    @jax.jit
    def forward(arrays, x):
        return merge(graph, *arrays, training=training)(x)

    expected, actual = forward((params, stats), x.astype(jnp.float32)), forward(half, x)
    assert actual.dtype == jnp.bfloat16
    assert_close(actual.astype(np.float32), expected, 0.03)


def test_spectral_convolution_mixes_bfloat16_kernels_with_float32_vectors():
    conv = layers.SpectralConv(4, 4, 3, rngs=nnx.Rngs(0))
    for variable in (conv.kernel, conv.bias):
        variable.set_value(variable[...].astype(jnp.bfloat16))
    assert conv(jnp.ones((1, 8, 8, 4), jnp.bfloat16)).dtype == jnp.bfloat16
