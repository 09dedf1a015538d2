"""Networks drawn by NumPy: one that draws its own weights takes several times longer."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

from msdi_jax.models import Architecture
from msdi_jax.networks.functional import abstract

# Of all MSDI-Nets the one that compiles fastest.
SMALL = Architecture("msdi_net", 2, depth=2)


def draw_arrays(network, seed=0):
    """An abstract `network` with uniform kernels, and the singular vectors that belong to them."""
    rng = np.random.default_rng(seed)
    graph, state = nnx.split(network)
    arrays = traverse_util.flatten_dict(nnx.to_pure_dict(state))
    for path, x in arrays.items():
        fan_in = np.prod(x.shape[:-1])
        arrays[path] = np.float32(rng.uniform(-1, 1, x.shape) / fan_in**0.5)
        if path[-1] == "var":
            arrays[path] = 0.5 + abs(arrays[path])
    for path in [path for path in arrays if path[-1] == "u"]:
        kernel = arrays[(*path[:-1], "kernel")]
        left, _, right = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), full_matrices=False)
        arrays[path], arrays[(*path[:-1], "v")] = right[0], left[:, 0]
    return nnx.merge(graph, jax.tree.map(jnp.asarray, traverse_util.unflatten_dict(arrays)))


def small_network(architecture=SMALL):
    """A network with drawn weights."""
    return draw_arrays(abstract(architecture.build))
