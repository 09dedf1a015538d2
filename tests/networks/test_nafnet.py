import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax.models import Architecture, Description, Model
from msdi_jax.networks.functional import abstract, arrays_of, merge, split
from msdi_jax.networks.nafnet import Block, ModulatedNAFNet, NAFNet
from tests.small_networks import draw_arrays

BLOCKS = (1, 1, 1, 2, 1, 1, 1, 1, 1)
SMALL = Architecture("nafnet", 8, blocks=BLOCKS)


@pytest.fixture(scope="module")
def published(stand_in):
    return stand_in(lambda rngs: NAFNet(8, blocks=BLOCKS, rngs=rngs), "nafnet-w8")


@pytest.mark.parametrize(
    ("case", "window"), [("a", None), ("b", None), ("local", 96)], ids=["a", "b", "local"]
)
def test_outputs_match_the_published_ones(published, golden, image, case, window):
    """Case b has odd sides; the last one takes means over windows."""
    expected = golden("nafnet-w8")
    model = Model(published, Description(SMALL, {}, "", window=window))
    assert window is None or window == 1.5 * expected["local/train_size"]
    deblurred = model(image(f"nafnet-{case}", tuple(expected[f"{case}/shape"]))).deblurred
    np.testing.assert_allclose(deblurred, expected[f"{case}/deblurred"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("width", "total"), [(32, 17_111_907), (64, 67_888_835)])
def test_number_of_parameters_is_the_published_one(width, total):
    arrays = arrays_of(abstract(lambda rngs: NAFNet(width, rngs=rngs)))
    assert sum(x.size for x in jax.tree.leaves(arrays)) == total


def test_a_fresh_block_is_the_identity():
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(1, 6, 5, 4)), jnp.float32)
    np.testing.assert_array_equal(Block(4, rngs=nnx.Rngs(0))(x), x)


@pytest.mark.parametrize("shape", [(64, 64, 3), (1, 64, 64, 4), (0, 64, 64, 3)])
def test_other_shapes_are_refused(published, shape):
    with pytest.raises(ValueError, match=r"expected images of shape \(batch, height, width, 3\)"):
        published(jnp.zeros(shape))


@pytest.mark.parametrize("blocks", [(1, 1), (1, 1, 1, 1), (1, -1, 1)])
def test_impossible_blocks_are_refused(blocks):
    message = r"blocks=\(.*\) must have a number for each level"
    with pytest.raises(ValueError, match=message):
        Architecture("nafnet", 8, blocks=blocks).check()
    with pytest.raises(ValueError, match=message):
        NAFNet(8, blocks=blocks, rngs=nnx.Rngs(0))


def test_an_untrained_modulation_changes_nothing(published, image):
    """Bit by bit, and gradients reach its last layer, so that it can be trained."""
    images = image("nafnet-a", (1, 32, 48, 3))
    make = abstract(lambda rngs: ModulatedNAFNet(8, blocks=BLOCKS, degradation_width=4, rngs=rngs))
    drawn = arrays_of(draw_arrays(make))
    for modulation in drawn["modulation"].values():
        modulation["project"] = jax.tree.map(jnp.zeros_like, modulation["project"])
    graph, params, stats = split(make)
    arrays = drawn | arrays_of(published)
    _, params, stats = split(nnx.merge(graph, arrays))

    @jax.jit
    def run(params):
        return merge(graph, params, stats)(images).deblurred

    np.testing.assert_array_equal(
        run(params), nnx.jit(lambda n, x: n(x).deblurred)(published, images)
    )
    gradients = jax.grad(lambda p: run(p).sum())(params)
    for modulation in gradients["modulation"].values():
        assert np.abs(modulation["project"]["kernel"]).max() > 0


def test_a_new_modulation_starts_at_zero():
    network = ModulatedNAFNet(2, blocks=(1, 1, 1), injected=(0,), rngs=nnx.Rngs(0))
    assert not np.any(network.modulation[0].project.kernel[...])
    assert not np.any(network.modulation[0].project.bias[...])
