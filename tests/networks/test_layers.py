from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch.nn import functional

from msdi_jax.interop import onnx_graph
from msdi_jax.networks import convolution, layers
from msdi_jax.networks.functional import arrays_of, merge, split
from msdi_jax.networks.rewrites import correlation


def normal(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape)


def nchw(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1))


def nhwc(x):
    return np.moveaxis(x.detach().numpy(), 1, -1)


def tensor(x):
    return torch.tensor(np.asarray(x))


def oihw(kernel):
    return tensor(np.transpose(kernel, (3, 2, 0, 1)))


def hwio(kernel):
    return kernel.detach().numpy().transpose(2, 3, 1, 0)


def close(found, expected, tolerance=1e-12):
    """Equal up to `tolerance` times the largest value."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


KERNELS_AND_PADDINGS = [(1, 0), *((k, p) for k in (3, 4, 7) for p in (0, 1, 2))]


@pytest.mark.parametrize(
    ("size", "kernel_size", "padding", "stride"),
    [
        *(((33, 40), *kernel, stride) for kernel in KERNELS_AND_PADDINGS for stride in (1, 2)),
        # Nothing but one output, and a last row and column that no window reaches.
        ((3, 3), 3, 0, 2),
        ((8, 6), 3, 0, 2),
        # Columns that do not pair up.
        ((6, 7), 3, 1, 1),
        # No more pixels than outputs.
        ((2, 2), 3, 1, 1),
        ((3, 4), 3, 0, 1),
        ((4, 4), 4, 1, 2),
    ],
)
# Of float64 XLA's convolutions become products, and where registers are narrow some gradients do.
@pytest.mark.parametrize(
    ("kind", "tolerance", "narrow"), [("f4", 2e-6, False), ("f4", 2e-6, True), ("f8", 1e-12, False)]
)
def test_convolve_and_its_gradients(
    x64, monkeypatch, size, stride, kernel_size, padding, kind, tolerance, narrow
):
    for module in (convolution, correlation):
        monkeypatch.setattr(module, "has_narrow_registers", lambda: narrow)
    monkeypatch.setattr(correlation, "PRODUCT_CHANNELS", 1)
    x, kernel = normal(2, *size, 3), normal(kernel_size, kernel_size, 3, 5)
    check_convolve(x.astype(kind), kernel.astype(kind), stride, padding, tolerance)


def check_convolve(x, kernel, stride, padding, tolerance=1e-12):
    inputs, weights = nchw(x).requires_grad_(), oihw(kernel).requires_grad_()
    expected = functional.conv2d(inputs, weights, stride=stride, padding=padding)
    pull = normal(*nhwc(expected).shape).astype(x.dtype)
    expected.backward(nchw(pull))

    @jax.jit
    def both_ways(x, kernel, pull):
        convolve = partial(layers.convolve, stride=stride, padding=padding)
        found, backward = jax.vjp(convolve, x, kernel)
        return found, *backward(pull)

    found, x_gradient, kernel_gradient = both_ways(x, kernel, pull)
    assert found.shape == nhwc(expected).shape
    close(found, nhwc(expected), tolerance)
    close(x_gradient, nhwc(inputs.grad), tolerance)
    close(kernel_gradient, hwio(weights.grad), tolerance)


class TestNarrowRegisters:
    """What a CPU without AVX-512 does otherwise."""

    @pytest.fixture
    def cpu_with(self, monkeypatch, tmp_path):
        file = tmp_path / "cpuinfo"
        monkeypatch.setattr(correlation, "CPUINFO", file)
        # Also where tests have a GPU.
        monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
        correlation.has_narrow_registers.cache_clear()
        yield lambda features: file.write_text(f"flags\t\t: fpu {features}\n")
        correlation.has_narrow_registers.cache_clear()

    @staticmethod
    def products(channels):
        """How many matrix products there are in the gradient of a 5×5 kernel."""
        x, kernel = jnp.zeros((1, 12, 12, channels)), jnp.zeros((5, 5, channels, channels))

        def loss(kernel, x):
            return convolution.convolve(x, kernel, padding=2).sum()

        return str(jax.make_jaxpr(jax.grad(loss))(kernel, x)).count("dot_general[")

    @pytest.mark.parametrize(
        ("features", "channels", "products"),
        [
            ("sse2 avx2", 32, 5),
            ("sse2 avx2", 16, 0),
            ("sse2 avx2 avx512f", 32, 0),
            # As ARM's.
            ("asimd", 32, 0),
        ],
    )
    def test_kernels_gradients_are_products(self, cpu_with, features, channels, products):
        cpu_with(features)
        assert self.products(channels) == products

    def test_not_where_devices_share_rows(self, monkeypatch, cpu_with):
        cpu_with("sse2")
        monkeypatch.setattr(correlation, "shares_rows", lambda: True)
        assert self.products(32) == 0

    def test_meshes_may_have_other_axes(self, cpu_with):
        cpu_with("sse2")
        with jax.set_mesh(jax.make_mesh((1,), ("x",))):
            assert self.products(32) == 5

    @pytest.mark.parametrize(("features", "most"), [("sse2 avx2", 8), ("sse2 avx512f", 16)])
    def test_pairs_of_columns_fill_a_register(self, cpu_with, features, most):
        cpu_with(features)

        def is_paired(channels):
            x, kernel = jnp.zeros((1, 12, 12, channels)), jnp.zeros((3, 3, channels, channels))
            return f"3,2,{2 * channels}" in str(
                jax.make_jaxpr(partial(convolution.convolve, padding=1))(x, kernel)
            )

        assert [is_paired(most), is_paired(most + 1)] == [True, False]


class TestWinograd:
    """Fewer products where XLA has no better way, which is on a CPU."""

    MANY = convolution.FEW_CHANNELS + 1

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        """Fewer channels than it is for otherwise."""
        monkeypatch.setattr(convolution, "MANY_CHANNELS", self.MANY)
        # Also where tests have a GPU.
        monkeypatch.setattr(jax, "default_backend", lambda: "cpu")

    @pytest.fixture
    def arrays(self):
        return normal(2, 12, 14, self.MANY), normal(3, 3, self.MANY, 18) / 3 / self.MANY**0.5

    # Whole tiles and not; larger than a tile sees, and smaller.
    @pytest.mark.parametrize(
        ("size", "padding"), [((12, 16), 1), ((16, 12), 0), ((11, 9), 1), ((9, 6), 2), ((5, 5), 0)]
    )
    def test_exact_and_its_gradients(self, x64, size, padding):
        check_convolve(normal(2, *size, self.MANY), normal(3, 3, self.MANY, 18), 1, padding)

    def test_of_large_images_it_would_take_too_much_memory(self, monkeypatch, arrays):
        x, kernel = (array.astype(np.float32) for array in arrays)

        def program():
            # Made anew, since jax keeps what it has traced.
            return str(jax.make_jaxpr(lambda *a: convolution.convolve(*a, padding=1))(x, kernel))

        largest = 12 * 14 * 18
        monkeypatch.setattr(convolution, "MANY_VALUES", largest)
        assert "dot_general" in program()
        monkeypatch.setattr(convolution, "MANY_VALUES", largest - 1)
        assert "dot_general" not in program()

    @pytest.mark.parametrize(("least", "convolutions"), [(1, 0), (2, 1), (4, 3)])
    def test_gradients_pay_from_half_as_many_channels(
        self, monkeypatch, arrays, least, convolutions
    ):
        for module in (convolution, correlation):
            monkeypatch.setattr(module, "has_narrow_registers", lambda: False)
        monkeypatch.setattr(convolution, "MANY_CHANNELS", least * self.MANY)
        x, kernel = (array.astype(np.float32) for array in arrays)

        def gradients(x, kernel):
            y, pull_back = jax.vjp(partial(layers.convolve, padding=1), x, kernel)
            return pull_back(y)

        lowered = jax.jit(gradients).trace(x, kernel).lower(lowering_platforms=("cpu",)).as_text()
        assert lowered.count("stablehlo.convolution") == convolutions

    def test_float32_loses_little(self, arrays):
        x, kernel = arrays
        expected = functional.conv2d(nchw(x), oihw(kernel), padding=1)
        found = layers.convolve(x.astype(np.float32), kernel.astype(np.float32), padding=1)
        close(found, nhwc(expected), 3e-6)

    @pytest.mark.parametrize(
        ("platform", "kind", "convolutions"),
        # bfloat16 has too few digits for it.
        [("cpu", "float32", 0), ("cpu", "bfloat16", 1), ("cuda", "float32", 1)],
    )
    def test_others_choose_for_themselves(self, arrays, platform, kind, convolutions):
        convolve = jax.jit(partial(layers.convolve, padding=1))
        traced = convolve.trace(*(jnp.asarray(a, kind) for a in arrays))
        lowered = traced.lower(lowering_platforms=(platform,)).as_text()
        assert lowered.count("stablehlo.convolution") == convolutions
        # The sums of taps, and all products.
        assert lowered.count("stablehlo.dot_general") == 2 * (1 - convolutions)

    def test_onnx_programs_too(self, arrays):
        x, kernel = (a.astype(np.float32) for a in arrays)
        program = onnx_graph.translate(
            partial(layers.convolve, kernel=kernel, padding=1), x.shape, ("x", "y"), ""
        )
        kinds = [node.op_type for node in program.graph.node]
        assert (kinds.count("Conv"), kinds.count("MatMul")) == (1, 0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(1, 1, None), (3, 1, None), (7, 1, 0), (3, 2, None), (4, 2, 1)]
)
def test_conv(size, stride, padding, bias):
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
    close(conv(x), nhwc(expected), 1e-6)


def put(layer, **arrays):
    """Replaces arrays, and with them their type: `[...] =` would cast to what the layer had."""
    for name, array in arrays.items():
        getattr(layer, name).set_value(jnp.asarray(array))


def unit(size):
    return normal(size) / np.linalg.norm(normal(size))


def spectral_pair(stride=1):
    """Our layer and PyTorch's, with the same kernel and vectors, in float64."""
    ours = layers.SpectralConv(3, 5, 3, stride=stride, rngs=nnx.Rngs(0))
    put(ours, kernel=normal(3, 3, 3, 5), bias=normal(5), u=unit(5), v=unit(27))
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
        gradients, (found, after) = step(params, stats, training)
        close(found, nhwc(expected))
        close(gradients["kernel"], hwio(theirs.weight_orig.grad))
        moved = not np.array_equal(stats["u"], after["u"])
        assert moved == training
        stats = {name: after[name] for name in stats}
        layer = merge(graph, params, stats)
        close(layer.u[...], theirs.weight_u.numpy())
        close(published_v(layer), theirs.weight_v.numpy())
        np.testing.assert_array_equal(after["kernel"], kernel)


@pytest.mark.parametrize("channels", [(3, 8), (64, 64), (128, 16)])
def test_fresh_singular_value_is_nearly_true(channels):
    layer = layers.SpectralConv(*channels, 3, rngs=nnx.Rngs(1))
    matrix = np.asarray(layer.kernel[...]).reshape(-1, channels[1])
    estimate = np.asarray(layer.v[...]) @ matrix @ np.asarray(layer.u[...])
    true = np.linalg.svd(matrix, compute_uv=False)[0]
    assert 0.9 * true < estimate <= true * (1 + 1e-6)
    np.testing.assert_allclose(
        [np.linalg.norm(layer.u[...]), np.linalg.norm(layer.v[...])], 1, rtol=1e-6
    )


def test_up_conv(x64):
    ours = layers.UpConv(6, 4, rngs=nnx.Rngs(0))
    put(ours, kernel=normal(2, 2, 6, 4), bias=normal(4))
    theirs = torch.nn.ConvTranspose2d(6, 4, 2, stride=2, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(tensor(ours.kernel[...].transpose(2, 3, 0, 1)))
        theirs.bias.copy_(tensor(ours.bias[...]))
    x = normal(2, 5, 7, 6)
    close(ours(x), nhwc(theirs(nchw(x))))


def test_instance_norm(x64):
    x = 3 + 1e-2 * normal(2, 5, 7, 4)
    close(layers.instance_norm(x), nhwc(functional.instance_norm(nchw(x), eps=1e-5)), 1e-10)


def test_instance_norm_of_a_small_variance_is_accurate_in_float32():
    x = 100 + normal(1, 16, 16, 2)
    expected = functional.instance_norm(nchw(x.astype(np.float32)).double(), eps=1e-5)
    close(layers.instance_norm(x.astype(np.float32)), nhwc(expected), 1e-5)


def test_half_instance_norm(x64):
    norm = layers.HalfInstanceNorm(6)
    put(norm, scale=normal(3), bias=1 + normal(3))
    x = normal(2, 5, 7, 6)
    first = functional.instance_norm(
        nchw(x[..., :3]),
        weight=tensor(norm.scale[...]),
        bias=tensor(norm.bias[...]),
        eps=1e-5,
    )
    close(norm(x)[..., :3], nhwc(first))
    np.testing.assert_array_equal(norm(x)[..., 3:], x[..., 3:])


def test_batch_norm_against_pytorch(x64):
    ours, theirs = layers.BatchNorm(3), torch.nn.BatchNorm2d(3, affine=False).double()
    ours.train()
    for scale in (1, 5, 0.1):
        x = 2 + scale * normal(4, 5, 6, 3)
        close(ours(x), nhwc(theirs(nchw(x))))
        close(ours.mean[...], theirs.running_mean.numpy())
        close(ours.var[...], theirs.running_var.numpy())
    ours.eval()
    theirs.eval()
    mean, var = np.array(ours.mean[...]), np.array(ours.var[...])
    close(ours(x), nhwc(theirs(nchw(x))))
    np.testing.assert_array_equal(ours.mean[...], mean)
    np.testing.assert_array_equal(ours.var[...], var)


def test_batch_norm_gradient_is_pytorchs(x64):
    norm, theirs = layers.BatchNorm(3), torch.nn.BatchNorm2d(3, affine=False).double()
    graph, *arrays = split(norm)
    x, pull = normal(4, 5, 6, 3), normal(4, 5, 6, 3) + 1
    inputs = nchw(x).requires_grad_()
    (theirs(inputs) ** 3).backward(nchw(pull))
    loss = lambda x: (pull * merge(graph, *arrays, training=True)(x) ** 3).sum()  # noqa: E731
    found = jax.jit(jax.grad(loss))(x)
    close(found, nhwc(inputs.grad))


def test_batch_norm_groups_are_normalised_by_themselves(x64):
    x = normal(4, 5, 6, 3) * np.array([1, 2, 30, 40]).reshape(4, 1, 1, 1)
    grouped, parts = layers.BatchNorm(3, groups=2), [layers.BatchNorm(3) for _ in range(2)]
    for norm in (grouped, *parts):
        norm.train()
    close(grouped(x), np.concatenate([parts[0](x[:2]), parts[1](x[2:])]))
    for name in ("mean", "var"):
        expected = np.mean([getattr(part, name)[...] for part in parts], axis=0)
        close(getattr(grouped, name)[...], expected)


@pytest.mark.parametrize(
    ("kind", "source", "name"),
    [
        ("bilinear", "96x160", "resize"),
        ("bilinear", "720x1280", "resize2"),
        ("nearest", "256x256", "resize3"),
    ],
)
def test_published_resizes(golden, image, kind, source, name):
    arrays = golden("protocol")
    channels = 2 if name == "resize3" else 3
    x = image(name, (1, *map(int, source.split("x")), channels))
    resize = {"bilinear": layers.resize_bilinear, "nearest": layers.resize_nearest}[kind]
    keys = [k for k in arrays.files if k.startswith(f"resize/{kind}_{source}_to_")]
    assert keys
    for key in keys:
        height, width = map(int, key.rsplit("_", 1)[1].split("x"))
        found = jax.jit(resize, static_argnums=(1, 2))(x, height, width)
        assert found.shape == (1, height, width, channels)
        rows, columns = (
            a // b for a, b in zip((height, width), arrays[key].shape[1:3], strict=True)
        )
        close(found[:, ::rows, ::columns], arrays[key], 1e-6 if kind == "bilinear" else 0)


@pytest.mark.parametrize(
    "size", [(33, 40), (64, 96), (20, 31), (5, 7), (1, 1), (33, 17), (48, 33)], ids=str
)
def test_resizes_against_pytorch(x64, size):
    x = normal(2, 33, 40, 3)
    bilinear = functional.interpolate(nchw(x), size, mode="bilinear", align_corners=False)
    nearest = functional.interpolate(nchw(x), size, mode="nearest")
    both = jax.jit(lambda x: [layers.resize_bilinear(x, *size), layers.resize_nearest(x, *size)])
    found = both(x)
    close(found[0], nhwc(bilinear))
    np.testing.assert_array_equal(found[1], nhwc(nearest))


@pytest.mark.parametrize("size", [(6, 8), (7, 9)], ids=str)
def test_average_pool(x64, size):
    x = normal(2, *size, 3)
    close(layers.average_pool(x), nhwc(functional.avg_pool2d(nchw(x), 2)))


def test_fold_against_pytorch():
    x = normal(2, 6, 9, 2)
    # PyTorch has the pixels of a colour side by side, this one the colours of a pixel.
    expected = functional.pixel_unshuffle(nchw(x), 3).reshape(2, 2, 9, 2, 3)
    expected = expected.permute(0, 3, 4, 2, 1).reshape(2, 2, 3, 18)
    found = convolution.space_to_depth(x, 3)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(convolution.depth_to_space(found, 3), x)


@pytest.mark.parametrize(("size", "bias"), [((2, 3), True), ((7, 4), False), ((1, 1), True)])
def test_doubling_conv_and_its_gradients(x64, size, bias):
    conv = layers.DoublingConv(3, 5, 3, bias=bias, rngs=nnx.Rngs(0))
    put(conv, kernel=normal(3, 3, 3, 5))
    if bias:
        put(conv, bias=normal(5))
    x = normal(2, *size, 3)
    inputs, weights = nchw(x).requires_grad_(), oihw(conv.kernel[...]).requires_grad_()
    doubled = functional.interpolate(inputs, scale_factor=2, mode="nearest")
    padded = functional.pad(doubled, (1, 1, 1, 1), mode="reflect")
    expected = functional.conv2d(padded, weights, tensor(conv.bias[...]) if bias else None)
    pull = normal(*nhwc(expected).shape)
    expected.backward(nchw(pull))

    graph, params, _ = split(conv)
    call = lambda params, x: merge(graph, params, {})(x)  # noqa: E731
    found, backward = jax.vjp(call, params, jnp.asarray(x))
    gradients, x_gradient = backward(pull)
    close(found, nhwc(expected))
    close(x_gradient, nhwc(inputs.grad))
    close(gradients["kernel"], hwio(weights.grad))


def test_reflect_pad_and_leaky_relu(x64):
    x = normal(2, 5, 7, 3)
    padded = functional.pad(nchw(x), (3, 3, 3, 3), mode="reflect")
    np.testing.assert_array_equal(layers.reflect_pad(x, 3), nhwc(padded))
    close(layers.leaky_relu(jnp.asarray(x)), functional.leaky_relu(torch.tensor(x), 0.2).numpy())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda r: layers.Conv(32, 64, 3, rngs=r), torch.nn.Conv2d(32, 64, 3)),
        (lambda r: layers.SpectralConv(32, 64, 3, rngs=r), torch.nn.Conv2d(32, 64, 3)),
        (lambda r: layers.UpConv(32, 64, rngs=r), torch.nn.ConvTranspose2d(32, 64, 2, stride=2)),
    ],
    ids=["conv", "spectral", "up"],
)
def test_initialisation_is_pytorchs_distribution(ours, theirs):
    layer = ours(nnx.Rngs(0))
    for array, published in ((layer.kernel, theirs.weight), (layer.bias, theirs.bias)):
        array, published = np.asarray(array[...]), published.detach().numpy()
        # Thousands of uniform draws come near their bound; 64 biases less so.
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


def test_initialisation_runs_abstractly_and_compiled():
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
def test_bfloat16_stays_and_is_close(make, training):
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

    expected, found = forward((params, stats), x.astype(jnp.float32)), forward(half, x)
    assert found.dtype == jnp.bfloat16
    close(found.astype(np.float32), expected, 0.03)


@pytest.mark.parametrize("resize", [layers.resize_bilinear, layers.resize_nearest])
def test_bfloat16_resizes(resize):
    x = jnp.asarray(normal(1, 8, 10, 4), jnp.bfloat16)
    found = resize(x, 12, 7)
    assert found.dtype == jnp.bfloat16
    close(found.astype(np.float32), resize(x.astype(jnp.float32), 12, 7), 0.01)


@pytest.mark.parametrize("size", [256, 128, 64, 32])
def test_nearest_resize_takes_pytorch_s_indices(size):
    """For every size of a feature in images of up to 4096 pixels in steps of 16."""
    column = torch.arange(size, dtype=torch.float32).reshape(1, 1, size, 1)
    for target in range(size // 16, 16 * size + 1, size // 16):
        expected = functional.interpolate(column, (target, 1)).numpy().ravel()
        found = layers._nearest(size, target)
        np.testing.assert_array_equal(found, expected, err_msg=f"{size} → {target}")


def test_strides_that_nothing_has_are_refused():
    with pytest.raises(ValueError, match="stride=3 must be 1 or 2"):
        layers.convolve(jnp.ones((1, 9, 9, 2)), jnp.ones((3, 3, 2, 3)), stride=3)


def test_a_1x1_convolution_pads_too():
    found = layers.convolve(jnp.ones((1, 4, 4, 2)), jnp.ones((1, 1, 2, 3)), padding=1)
    assert found.shape == (1, 6, 6, 3)
    assert float(found[0, 0, 0, 0]) == 0


def test_spectral_convolution_mixes_bfloat16_kernels_with_float32_vectors():
    conv = layers.SpectralConv(4, 4, 3, rngs=nnx.Rngs(0))
    for variable in (conv.kernel, conv.bias):
        variable.set_value(variable[...].astype(jnp.bfloat16))
    assert conv(jnp.ones((1, 8, 8, 4), jnp.bfloat16)).dtype == jnp.bfloat16
