import numpy as np
from flax import nnx

from msdi_jax.networks.discriminator import MultiscaleDiscriminator


def test_published_features(stand_in, golden, image):
    network = stand_in(
        lambda rngs: MultiscaleDiscriminator(8, rngs=rngs), "MultiscaleDiscriminator-w8"
    )
    expected = golden("MultiscaleDiscriminator-w8")
    found = nnx.jit(lambda n, x: n(x))(network, image("D-in", (2, 64, 64, 6)))
    assert [len(features) for features in found] == [5, 5]
    for scale, features in enumerate(found):
        for layer, feature in enumerate(features):
            np.testing.assert_allclose(feature, expected[f"d{scale}/f{layer}"], rtol=0, atol=1e-5)
