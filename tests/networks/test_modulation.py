import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch.nn import functional

from msdi_jax.networks import modulation
from msdi_jax.networks.functional import arrays_of, merge, split
from tests.networks.pytorch import assert_close, nchw, nhwc

CHANNELS, HIDDEN = 3, 5


def with_normal_weights(network):
    """Split a network, and draw normal weights in float64."""
    rng = np.random.default_rng(0)
    graph, params, stats = split(network)
    params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) / 3), params)
    return graph, params, jax.tree.map(lambda x: x.astype(jnp.float64), stats)


def conv(arrays, x, scale=1.0):
    kernel = torch.tensor(np.asarray(arrays["kernel"]).transpose(3, 2, 0, 1))
    bias = torch.tensor(np.asarray(arrays["bias"]))
    return functional.conv2d(x, kernel / scale, bias, padding=kernel.shape[-1] // 2)


def modulated(params, stats, x, normalised, context):
    """n · (1 + gamma(a)) + beta(a), then the spectrally normalised convolution, then the sum."""
    y = normalised * (1 + conv(params["gamma"], context)) + conv(params["beta"], context)
    matrix = np.asarray(params["project"]["kernel"]).reshape(-1, CHANNELS)
    vectors = [np.asarray(stats["project"][name]) for name in ("v", "u")]
    sigma = vectors[0] @ matrix @ vectors[1]
    return x + conv(params["project"], functional.leaky_relu(y, 0.2), sigma)


@pytest.fixture(params=[(8, 12), (2, 3), (16, 16)], ids=str)
def images(request):
    """A feature, and a degradation map of the same, a smaller or a larger size."""
    return feature_and_map(request.param, CHANNELS)


def feature_and_map(size, map_channels):
    rng = np.random.default_rng(1)
    return rng.normal(size=(2, 8, 12, CHANNELS)), rng.normal(size=(2, *size, map_channels))


@pytest.mark.parametrize(
    ("size", "map_channels"), [((8, 12), CHANNELS), ((2, 3), CHANNELS), ((16, 16), CHANNELS + 2)]
)
def test_modulation_of_the_deblurring_network(x64, size, map_channels):
    images = feature_and_map(size, map_channels)
    graph, params, stats = with_normal_weights(
        modulation.SpatiallyAdaptiveModulation(CHANNELS, map_channels, HIDDEN, rngs=nnx.Rngs(0))
    )
    actual = jax.jit(lambda x, d: merge(graph, params, stats)(x, d))(*images)

    x, degradation = map(nchw, images)
    context = torch.cat([x, functional.interpolate(degradation, x.shape[2:], mode="nearest")], 1)
    for i in range(3):
        context = functional.leaky_relu(conv(params["shared"][i], context), 0.2)
    assert_close(actual, nhwc(modulated(params, stats, x, x, context)))


def test_modulation_of_the_joint_network(x64, images):
    graph, params, stats = with_normal_weights(
        modulation.NormalisedModulation(CHANNELS, HIDDEN, rngs=nnx.Rngs(0))
    )
    norm = torch.nn.BatchNorm2d(CHANNELS, affine=False).double()
    x, degradation = map(nchw, images)
    resized = functional.interpolate(degradation, x.shape[2:], mode="nearest")
    context = functional.relu(conv(params["shared"][0], resized))

    def forward(stats, training):
        network = merge(graph, params, stats, training=training)
        return network(*map(jnp.asarray, images)), arrays_of(network)

    for training in (True, False):
        norm.train(training)
        actual, after = jax.jit(forward, static_argnums=1)(stats, training)
        stats = {name: jax.tree.map(lambda _, new: new, old, {k: after[name][k] for k in old})
                 for name, old in stats.items()}  # fmt: skip
        assert_close(actual, nhwc(modulated(params, stats, x, norm(x), context)))
        np.testing.assert_allclose(stats["norm"]["mean"], norm.running_mean, rtol=0, atol=1e-12)


def test_only_the_joint_network_normalises_the_feature(x64):
    """Batch norm removes a constant feature; the other modulation keeps it."""
    x, degradation = np.full((2, 4, 4, CHANNELS), 7.0), np.ones((2, 4, 4, CHANNELS))
    sizes, rngs = (CHANNELS, HIDDEN), nnx.Rngs(0)
    plain = modulation.SpatiallyAdaptiveModulation(CHANNELS, *sizes, rngs=rngs)
    for layer, vanishes in (
        (plain, False),
        (modulation.NormalisedModulation(*sizes, rngs=rngs), True),
    ):
        graph, params, stats = with_normal_weights(layer)
        params["beta"] = jax.tree.map(jnp.zeros_like, params["beta"])
        params["project"]["bias"] = jnp.zeros(CHANNELS)
        network = merge(graph, params, stats, training=True)
        assert np.allclose(network(jnp.asarray(x), jnp.asarray(degradation)), x) == vanishes
