import jax
import numpy as np
import pytest
import torch
from flax import nnx
from torch.nn import functional

from msdi_jax.interop.convert import to_published
from msdi_jax.networks.functional import abstract, arrays_of
from msdi_jax.networks.vgg import VGG19

# torchvision's `vgg19().features`: a number is a 3×3 convolution and the relu after it.
LAYERS = [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", 512]
RELU_1 = (0, 3, 6, 11, 16)


@pytest.fixture(scope="module")
def weights(stand_in):
    """Stand-in weights: our arrays and the published state dict."""
    network = stand_in(lambda rngs: VGG19(rngs=rngs), "vgg19")
    return arrays_of(network), to_published(network)


def published_features(weights, x):
    index, features = 0, []
    for i, layer in enumerate(LAYERS):
        if layer == "M":
            x, index = functional.max_pool2d(x, 2), index + 1
            continue
        kernel, bias = (
            torch.tensor(np.asarray(weights[f"features.{index}.{k}"])) for k in ("weight", "bias")
        )
        assert len(kernel) == layer
        x, index = functional.relu(functional.conv2d(x, kernel, bias, padding=1)), index + 2
        if i in RELU_1:
            features.append(x)
    return features


@pytest.mark.parametrize("normalise", [False, True])
def test_features_match_pytorchs(weights, image, normalise):
    ours, published = weights
    x = image("vgg", (1, 32, 32, 3))
    graph = nnx.split(abstract(lambda rngs: VGG19(normalise=normalise, rngs=rngs)))[0]
    actual = jax.jit(lambda arrays, x: nnx.merge(graph, arrays)(x))(ours, x)
    shifted = x
    if normalise:
        shifted = (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    expected = published_features(published, torch.tensor(np.moveaxis(shifted, -1, 1)))
    assert [f.shape for f in actual] == [
        (1, 32, 32, 64), (1, 16, 16, 128), (1, 8, 8, 256), (1, 4, 4, 512), (1, 2, 2, 512)
    ]  # fmt: skip
    for a, b in zip(actual, expected, strict=True):
        b = np.moveaxis(b.numpy(), 1, -1)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * b.max())
