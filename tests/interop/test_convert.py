import pickle
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from flax import nnx

from msdi_jax.interop import convert
from msdi_jax.networks.discriminator import MultiscaleDiscriminator
from msdi_jax.networks.functional import abstract
from msdi_jax.networks.msdi_net import MSDINet
from msdi_jax.networks.reblur_deblur_net import ReblurDeblurNet

REFERENCE = Path(__file__).parents[1] / "reference"
MAKE = {
    "msdi_net": lambda rngs: MSDINet(8, version=1, rngs=rngs),
    "msdi2_net": lambda rngs: MSDINet(8, version=2, rngs=rngs),
    "MSDI2E": lambda rngs: ReblurDeblurNet(8, rngs=rngs),
    "MultiscaleDiscriminator": lambda rngs: MultiscaleDiscriminator(8, rngs=rngs),
}
# What the published networks keep and never use: parts of keys, and how many keys have them.
UNUSED = {
    "msdi_net": {".conv_4.": 42, ".param_free_norm.running_": 8, ".num_batches_tracked": 4},
    "msdi2_net": {".conv_4.": 42, ".param_free_norm.running_": 8, ".num_batches_tracked": 4},
    "MSDI2E": {".conv_02.": 4, ".num_batches_tracked": 8},
    "MultiscaleDiscriminator": {},
}


def published_shapes(name):
    lines = (REFERENCE / f"{name}.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    return {
        key: (tuple(map(int, filter(None, shape.split("x")))), kind) for key, shape, kind in rows
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


def test_there_and_back_bit_for_bit(published):
    _, network, weights = published
    arrays, unused = convert.from_published(network, weights)
    back = convert.to_published(nnx.merge(nnx.split(network)[0], arrays))
    assert set(back) == set(weights) - set(unused)
    for key, array in back.items():
        assert array.dtype == weights[key].dtype
        np.testing.assert_array_equal(array, weights[key], err_msg=key)
    assert jax.tree.map(np.shape, arrays) == jax.tree.map(
        lambda x: x.shape, nnx.to_pure_dict(nnx.state(network))
    )


def test_unused_keys_are_exactly_the_known_ones(published):
    name, network, weights = published
    unused = convert.from_published(network, weights)[1]
    assert unused == [k for k in weights if any(part in k for part in UNUSED[name])]
    counts = {part: sum(part in k for k in unused) for part in UNUSED[name]}
    assert counts == UNUSED[name]


def test_every_published_key_is_claimed_once(published):
    _, network, _ = published
    keys = [entry.key for entry in convert.key_table(network).values()]
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
def test_names(name, path, key):
    table = convert.key_table(network_of(name))
    assert {".".join(map(str, path)): entry.key for path, entry in table.items()}[path] == key


def test_layouts():
    """Value = output + 10 · input + 100 · row + 1000 · column, in either layout."""
    o, i, y, x = np.meshgrid(range(5), range(4), range(3), range(3), indexing="ij")
    published = o + 10 * i + 100 * y + 1000 * x
    kernel = convert.Entry("", "kernel", ()).to_ours(published)
    assert kernel[1, 2, 3, 4] == 4 + 30 + 100 + 2000
    assert convert.Entry("", "kernel", ()).shape(kernel.shape) == published.shape
    up = convert.Entry("", "up", ()).to_ours(published.swapaxes(0, 1))
    assert up[1, 2, 3, 4] == 4 + 30 + 100 + 2000
    # PyTorch's v counts inputs slowest and columns fastest; ours is the kernel without outputs.
    v = convert.Entry("", "v", kernel.shape).to_ours(published[0].ravel())
    np.testing.assert_array_equal(v, kernel[..., 0].ravel())


@pytest.fixture
def discriminator():
    return network_of("MultiscaleDiscriminator"), published_weights("MultiscaleDiscriminator")


def test_all_problems_are_told_at_once(discriminator):
    network, weights = discriminator
    del weights["discriminator_0.model0.0.bias"]
    del weights["discriminator_1.model2.0.0.weight_u"]
    weights["discriminator_0.model4.0.weight"] = np.zeros((1, 64, 3, 4), np.float32)
    weights["discriminator_2.model0.0.bias"] = np.zeros(8, np.float32)
    with pytest.raises(ValueError, match="4 keys do not fit this network") as error:
        convert.from_published(network, weights)
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
        convert.from_published(network, weights)
    # Both verdicts' biases have one value at any width, and nothing else fits.
    assert str(error.value).count("misshaped") == len(weights) - 2


def vgg_checkpoint(path, **changes):
    """A file like torchvision's; each array has one value, which keeps the file small."""
    shapes = {key: shape for key, (shape, _) in published_shapes("vgg19").items()}
    shapes |= {"classifier.0.weight": (4096, 25088), "classifier.0.bias": (4096,)}
    tensors = {
        key: torch.tensor([float(i)]).expand(shape) for i, (key, shape) in enumerate(shapes.items())
    }
    torch.save(tensors | changes, path)
    return tensors


def test_read_vgg(tmp_path):
    tensors = vgg_checkpoint(tmp_path / "vgg19.pth")
    found = convert.read_vgg(str(tmp_path / "vgg19.pth"))
    assert list(found) == ["conv"]
    assert len(found["conv"]) == 13
    for index, arrays in found["conv"].items():
        for name, ours in (("kernel", "weight"), ("bias", "bias")):
            expected = tensors[f"features.{index}.{ours}"]
            assert sorted(arrays[name].shape) == sorted(expected.shape)
            assert arrays[name].flat[0] == expected.flatten()[0]


def test_read_vgg_refuses_another_networks_checkpoint(tmp_path):
    vgg_checkpoint(tmp_path / "a.pth", **{"features.0.weight": torch.zeros(64, 1, 3, 3)})
    with pytest.raises(ValueError, match=r"misshaped: features\.0\.weight is \(64, 1, 3, 3\)"):
        convert.read_vgg(str(tmp_path / "a.pth"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint\n", b"PK\x03\x04", b"\x80\x02"])
def test_read_vgg_refuses_what_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "vgg.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path} is no PyTorch checkpoint"):
        convert.read_vgg(str(path))


def test_read_vgg_refuses_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.pth is no PyTorch checkpoint"):
        convert.read_vgg(str(tmp_path / "gone.pth"))


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_read_vgg_executes_nothing(tmp_path, zipped):
    path, marker = tmp_path / "vgg.pth", tmp_path / "executed"
    if zipped:
        torch.save({"features.0.weight": Touch(str(marker))}, path)
    else:
        path.write_bytes(pickle.dumps(Touch(str(marker)), protocol=2))
    with pytest.raises(ValueError, match="is no PyTorch checkpoint of tensors"):
        convert.read_vgg(str(path))
    assert not marker.exists()
