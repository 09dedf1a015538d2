import jax
import numpy as np
import pytest
from flax import nnx

from msdi_jax.networks.functional import abstract
from msdi_jax.networks.msdi_net import MSDINet


@pytest.fixture(scope="module", params=[("msdi_net", 1), ("msdi2_net", 2)], ids=lambda p: p[0])
def published(request, stand_in, golden):
    """Name, network with the published layout, and its golden arrays."""
    name, version = request.param
    make = lambda rngs: MSDINet(8, version=version, rngs=rngs)  # noqa: E731
    return name, stand_in(make, f"{name}-w8"), golden(f"{name}-w8")


def run(published, image, case):
    name, network, golden = published
    images = image(f"{name}-{case}", tuple(golden[f"{case}/shape"]))

    @nnx.jit
    def forward(network, images):
        degradation = network.degradation(images)
        return network(images, degradation), degradation

    return forward(network, images)


@pytest.mark.parametrize("case", ["a", "b"])
def test_outputs_match_the_published_ones(published, image, case):
    output, degradation = run(published, image, case)
    golden = published[2]
    np.testing.assert_allclose(output.intermediate, golden[f"{case}/out1"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(output.deblurred, golden[f"{case}/out2"], rtol=0, atol=1e-5)
    for i, level in enumerate(degradation.maps):
        expected = golden[f"{case}/latent{i}"]
        stride = level.shape[1] // expected.shape[1]
        np.testing.assert_allclose(level[:, ::stride, ::stride], expected, rtol=0, atol=1e-5)
    # Values are of order 3, after a norm over 16 or 64 values. The golden array, computed in
    # float32, differs by up to 1.05e-5 from a float64 evaluation.
    np.testing.assert_allclose(
        degradation.representation, golden[f"{case}/prior"], rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("case", ["a", "b"])
def test_representation_in_float64_matches_the_published_one(x64, published, image, case):
    name, network, golden = published
    graph, arrays = nnx.split(network)
    wide = nnx.merge(graph, jax.tree.map(lambda x: x.astype(np.float64), arrays))
    images = image(f"{name}-{case}", tuple(golden[f"{case}/shape"])).astype(np.float64)
    representation = nnx.jit(lambda n, x: n.degradation.encoder(x))(wide, images)
    np.testing.assert_allclose(representation, golden[f"{case}/prior"], rtol=0, atol=1.1e-5)


@pytest.mark.parametrize(
    ("version", "total", "frozen"), [(1, 246.9e6, 111.5e6), (2, 330.6e6, None)]
)
def test_number_of_parameters_is_the_published_one(version, total, frozen):
    network = abstract(lambda rngs: MSDINet(64, version=version, rngs=rngs))
    count = lambda n: sum(x.size for x in jax.tree.leaves(nnx.state(n, nnx.Param)))  # noqa: E731
    # The published count includes the 1×1 convolutions `conv_4`, which are never used.
    unused = sum((64 * 2**i) ** 2 * n for i, n in enumerate((10, 10, 10, 10, 2)))
    assert (count(network) + unused) == pytest.approx(total, rel=1e-3)
    if frozen:
        assert count(network.degradation) == pytest.approx(frozen, rel=1e-3)


@pytest.mark.parametrize("sizes", [{"depth": 1}, {"depth": 6}, {"patch": 2}, {"patch": 0}], ids=str)
def test_impossible_depths_and_patches_are_refused(sizes):
    with pytest.raises(ValueError, match=r"depth=\d, patch=\d: depth must be 2 … 5"):
        MSDINet(2, **sizes, rngs=nnx.Rngs(0))


def test_images_of_other_sizes_are_refused():
    network = abstract(lambda rngs: MSDINet(2, rngs=rngs))
    with pytest.raises(ValueError, match="multiples of 16, got 40×64"):
        network(np.zeros((1, 40, 64, 3), np.float32))
    with pytest.raises(ValueError, match="batch, height, width, 3"):
        network(np.zeros((64, 64, 3), np.float32))
