import numpy as np
import pytest
from flax import nnx

from msdi_jax.networks.reblur_deblur_net import ReblurDeblurNet


@pytest.fixture
def network(stand_in):
    return stand_in(lambda rngs: ReblurDeblurNet(8, rngs=rngs), "MSDI2E-w8")


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_outputs_and_statistics_match_the_published_ones(network, golden, image, mode):
    expected = golden("MSDI2E-w8")
    shape = (2, 64, 64, 3)
    getattr(network, mode)()
    output = nnx.jit(lambda n, b, s: n(b, s))(
        network, image("MSDI2E-blur", shape), image("MSDI2E-sharp", shape)
    )
    np.testing.assert_allclose(output.deblurred, expected[f"{mode}/deblurred"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(output.reblurred, expected[f"{mode}/reblurred"], rtol=0, atol=1e-5)
    norm = network.deblur.modulation[0].norm
    moved = mode == "train"
    assert np.allclose(norm.mean[...], expected["train/running_mean0"], rtol=0, atol=1e-6) == moved
    assert np.allclose(norm.var[...], expected["train/running_var0"], rtol=0, atol=1e-6) == moved
