"""Published names and layouts of arrays."""

from functools import cache

import jax
import numpy as np
import pytest
from flax import nnx

from msdi_jax.interop import torch_keys
from msdi_jax.networks.discriminator import MultiscaleDiscriminator
from msdi_jax.networks.functional import abstract
from msdi_jax.networks.hinet import HINet
from msdi_jax.networks.msdi_net import MSDINet
from msdi_jax.networks.nafnet import NAFNet
from msdi_jax.networks.reblur_deblur_net import ReblurDeblurNet
from tests.torch_files import published_shapes

MAKE = {
    "msdi_net": lambda rngs: MSDINet(8, version=1, rngs=rngs),
    "msdi2_net": lambda rngs: MSDINet(8, version=2, rngs=rngs),
    "MSDI2E": lambda rngs: ReblurDeblurNet(8, rngs=rngs),
    "MultiscaleDiscriminator": lambda rngs: MultiscaleDiscriminator(8, rngs=rngs),
    "nafnet": lambda rngs: NAFNet(8, blocks=(1, 1, 1, 2, 1, 1, 1, 1, 1), rngs=rngs),
    "hinet": lambda rngs: HINet(8, rngs=rngs),
}
# Part of a key that published networks never use → the number of such keys.
UNUSED = {
    "msdi_net": {".conv_4.": 42, ".param_free_norm.running_": 8, ".num_batches_tracked": 4},
    "msdi2_net": {".conv_4.": 42, ".param_free_norm.running_": 8, ".num_batches_tracked": 4},
    "MSDI2E": {".conv_02.": 4, ".num_batches_tracked": 8},
    "MultiscaleDiscriminator": {},
    "nafnet": {},
    "hinet": {},
}


def published_weights(name):
    """Random arrays under the published names."""
    rng = np.random.default_rng(0)
    shapes = published_shapes(f"{name}-w8")
    return {key: np.asarray(rng.normal(size=s), t) for key, (s, t) in shapes.items()}


@cache
def network_of(name):
    return abstract(MAKE[name])


@pytest.fixture(scope="module", params=MAKE)
def published(request):
    """Name, abstract network and published state dict."""
    return request.param, network_of(request.param), published_weights(request.param)


def test_round_trip_is_exact(published):
    _, network, weights = published
    arrays, unused = torch_keys.from_published(network, weights)
    back = torch_keys.to_published(nnx.merge(nnx.split(network)[0], arrays))
    assert set(back) == set(weights) - set(unused)
    for key, array in back.items():
        assert array.dtype == weights[key].dtype
        np.testing.assert_array_equal(array, weights[key], err_msg=key)
    assert jax.tree.map(np.shape, arrays) == jax.tree.map(
        lambda x: x.shape, nnx.to_pure_dict(nnx.state(network))
    )


def test_unused_keys_are_exactly_the_known_ones(published):
    name, network, weights = published
    unused = torch_keys.from_published(network, weights)[1]
    assert unused == [k for k in weights if any(part in k for part in UNUSED[name])]
    counts = {part: sum(part in k for k in unused) for part in UNUSED[name]}
    assert counts == UNUSED[name]


def test_every_published_key_has_one_array(published):
    _, network, _ = published
    keys = [entry.key for entry in torch_keys.key_table(network).values()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("name", "path", "key"),
    [
        ("msdi_net", "unet_1.up.0.up.kernel", "up_path_1.3.up.weight"),
        ("msdi_net", "unet_2.up.3.block.conv_2.bias", "up_path_2.0.conv_block.conv_2.bias"),
        ("msdi_net", "skip.0.1.norm.scale", "skip_conv_4.3.norm.weight"),
        ("msdi_net", "unet_2.down.1.fuse_decoder.kernel", "down_path_2.1.csff_dec.weight"),
        ("msdi_net", "modulation.2.shared.1.kernel", "ad1_list.2.norm_0.mlp_shared.2.weight"),
        ("msdi_net", "degradation.encoder.deep.1.u", "net_prior.layer6.0.weight_u"),
        (
            "msdi_net",
            "degradation.pyramid.up.0.before.kernel",
            "prior_upsampling.conv_latent_init.conv_block.1.weight_orig",
        ),
        (
            "msdi2_net",
            "degradation.pyramid.up.4.after.v",
            "prior_upsampling.conv_latent_up6.conv_block.5.weight_v",
        ),
        ("msdi2_net", "degradation.encoder.out.2.kernel", "net_prior.out.7.0.weight_orig"),
        (
            "MSDI2E",
            "reblur.modulation.3.norm.var",
            "inverse_generator.ad1_list.3.norm_0.param_free_norm.running_var",
        ),
        ("MultiscaleDiscriminator", "scale.1.middle.2.v", "discriminator_1.model3.0.0.weight_v"),
    ],
)
def test_published_names_of_arrays(name, path, key):
    table = torch_keys.key_table(network_of(name))
    assert {".".join(map(str, path)): entry.key for path, entry in table.items()}[path] == key


def test_layouts_of_kernels_and_vectors():
    """Value = output + 10 · input + 100 · row + 1000 · column, in either layout."""
    o, i, y, x = np.meshgrid(range(5), range(4), range(3), range(3), indexing="ij")
    published = o + 10 * i + 100 * y + 1000 * x
    kernel = torch_keys.Entry("", "kernel", ()).to_ours(published)
    assert kernel[1, 2, 3, 4] == 4 + 30 + 100 + 2000
    assert torch_keys.Entry("", "kernel", ()).shape(kernel.shape) == published.shape
    up = torch_keys.Entry("", "up", ()).to_ours(published.swapaxes(0, 1))
    assert up[1, 2, 3, 4] == 4 + 30 + 100 + 2000
    # PyTorch's v counts inputs slowest and columns fastest; ours is the kernel without outputs.
    v = torch_keys.Entry("", "v", kernel.shape).to_ours(published[0].ravel())
    np.testing.assert_array_equal(v, kernel[..., 0].ravel())


@pytest.fixture
def discriminator():
    return network_of("MultiscaleDiscriminator"), published_weights("MultiscaleDiscriminator")


def test_one_error_lists_all_problems(discriminator):
    network, weights = discriminator
    del weights["discriminator_0.model0.0.bias"]
    del weights["discriminator_1.model2.0.0.weight_u"]
    weights["discriminator_0.model4.0.weight"] = np.zeros((1, 64, 3, 4), np.float32)
    weights["discriminator_2.model0.0.bias"] = np.zeros(8, np.float32)
    with pytest.raises(ValueError, match="4 keys do not fit this network") as error:
        torch_keys.from_published(network, weights)
    assert set(str(error.value).split("\n  ")[1:]) == {
        "missing: discriminator_0.model0.0.bias",
        "missing: discriminator_1.model2.0.0.weight_u",
        "misshaped: discriminator_0.model4.0.weight is (1, 64, 3, 4), expected (1, 64, 4, 4)",
        "unknown: discriminator_2.model0.0.bias",
    }


def test_weights_of_another_network_are_refused(discriminator):
    _, weights = discriminator
    network = abstract(lambda rngs: MultiscaleDiscriminator(4, rngs=rngs))
    with pytest.raises(ValueError, match="keys do not fit this network") as error:
        torch_keys.from_published(network, weights)
    # The biases of both outputs have one value at any width; nothing else fits.
    assert str(error.value).count("misshaped") == len(weights) - 2
