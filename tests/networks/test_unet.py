"""Recomputed blocks: less memory for the backward pass, the same gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax.networks.degradation import Degradation
from msdi_jax.networks.functional import abstract, merge, split
from msdi_jax.networks.msdi_net import MSDINet
from msdi_jax.networks.unet import UNet

WIDTH = 4


def kept_bytes(remat):
    """Count the bytes that the forward pass keeps for the backward pass, without the weights."""
    graph, params, stats = split(abstract(lambda rngs: MSDINet(WIDTH, remat=remat, rngs=rngs)))
    image = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    maps = tuple(
        jax.ShapeDtypeStruct((1, 256 >> i, 256 >> i, WIDTH << i), jnp.float32) for i in range(4)
    )

    def backward(params, stats, image, maps):
        def loss(params):
            output = merge(graph, params, stats)(image, Degradation(image, maps))
            return sum(x.sum() for x in output)

        return jax.vjp(loss, params)[1]

    kept = jax.tree.leaves(jax.eval_shape(backward, params, stats, image, maps))
    return sum(x.size * x.dtype.itemsize for x in kept if x.size > 0)


def test_recomputed_blocks_keep_less():
    assert kept_bytes(2) < 0.6 * kept_bytes(0)


@pytest.mark.slow
def test_each_recomputed_level_keeps_less():
    sizes = [kept_bytes(levels) for levels in (0, 1, 2, 5)]
    print([f"{size / 2**20:.1f} MiB" for size in sizes])
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1, 5])
def test_recomputed_blocks_have_the_same_gradients(levels):
    image = np.random.default_rng(0).random((1, 32, 32, WIDTH), np.float32)

    def gradient(remat):
        network = UNet(WIDTH, pointwise=True, remat=remat, rngs=nnx.Rngs(0))
        graph, params, stats = split(network)

        def loss(params):
            unet = merge(graph, params, stats)
            bottom, features = unet.encode(image)
            return jnp.square(unet.decode(bottom, features, lambda i, x: x)[0]).sum()

        return jax.jit(jax.grad(loss))(params)

    kept, again = jax.tree.leaves(gradient(0)), jax.tree.leaves(gradient(levels))
    for a, b in zip(kept, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(a).max())
