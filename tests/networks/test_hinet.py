import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax.networks.hinet import HINet


@pytest.fixture(scope="module")
def published(stand_in):
    return stand_in(lambda rngs: HINet(8, rngs=rngs), "hinet-w8")


@pytest.mark.parametrize("case", ["a", "b"])
def test_outputs_match_the_published_ones(published, golden, image, case):
    expected = golden("hinet-w8")
    images = image(f"hinet-{case}", tuple(expected[f"{case}/shape"]))
    output = nnx.jit(lambda network, x: network(x))(published, images)
    for key, found in output._asdict().items():
        np.testing.assert_allclose(found, expected[f"{case}/{key}"], rtol=0, atol=1e-5)


def test_sides_that_do_not_divide_are_refused(published):
    with pytest.raises(ValueError, match="must be multiples of 16, got 64×40"):
        published(jnp.zeros((1, 64, 40, 3)))
