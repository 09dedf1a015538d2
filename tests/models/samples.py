"""A small model, and a network that returns its inputs."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from msdi_jax import models
from msdi_jax.networks.degradation import Degradation
from msdi_jax.networks.functional import abstract
from msdi_jax.networks.reblur_deblur_net import JointOutput

ARCHITECTURE = models.Architecture("reblur_deblur_net", 2, depth=2, hidden=5)
DESCRIPTION = models.Description(ARCHITECTURE, {"run": "a test", "steps": 3}, "Apache-2.0 ©")


def filled(make, seed=0):
    """Make a network with normal weights; abstractly, since drawing its own takes longer."""
    rng = np.random.default_rng(seed)
    graph, state = nnx.split(abstract(make))
    draw = lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32)  # noqa: E731
    return nnx.merge(graph, jax.tree.map(draw, nnx.to_pure_dict(state)))


class Echo(nnx.Module):
    """Returns its inputs, so that tests can check their order."""

    def __init__(self):
        self.scale = nnx.Param(jnp.asarray(2.0))

    def __call__(self, blurry, sharp):
        return JointOutput(self.scale[...] * blurry + sharp, sharp)

    def degradation(self, image):
        return Degradation(image.mean((1, 2), keepdims=True), (image,))


def assert_same_arrays(actual, expected):
    actual, expected = jax.tree.leaves_with_path(actual), jax.tree.leaves_with_path(expected)
    assert [path for path, _ in actual] == [path for path, _ in expected]
    for (path, a), (_, b) in zip(actual, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))
