import numpy as np
from flax import nnx

from msdi_jax.networks.discriminator import MultiscaleDiscriminator


def test_features_match_the_published_ones(stand_in, golden, image):
    network = stand_in(
        lambda rngs: MultiscaleDiscriminator(8, rngs=rngs), "MultiscaleDiscriminator-w8"
    )
    expected = golden("MultiscaleDiscriminator-w8")
    actual = nnx.jit(lambda n, x: n(x))(network, image("D-in", (2, 64, 64, 6)))
    assert [len(features) for features in actual] == [5, 5]
    for scale, features in enumerate(actual):
        for layer, feature in enumerate(features):
            np.testing.assert_allclose(feature, expected[f"d{scale}/f{layer}"], rtol=0, atol=1e-5)
