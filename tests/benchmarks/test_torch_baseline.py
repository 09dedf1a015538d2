"""The PyTorch networks that ours are timed against compute what the published ones do."""

import numpy as np
import pytest
import torch

from benchmarks.torch_baseline import Discriminator, JointNet, MSDINet, fold, load_published
from benchmarks.torch_nafnet import NAFNet
from benchmarks.torch_training import deblur_step, reblur_step

BLOCKS = (1, 1, 1, 2, 1, 1, 1, 1, 1)


@pytest.fixture(autouse=True)
def _one_thread():
    """PyTorch's threads spin while they wait, which takes minutes next to other processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def nchw(array):
    return torch.from_numpy(np.moveaxis(array, -1, 1).copy())


def nhwc(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize(("name", "version"), [("msdi_net", 1), ("msdi2_net", 2)])
def test_deblurring_networks(state_dict, golden, image, name, version, case):
    network = fold(load_published(MSDINet(8, version), state_dict(f"{name}-w8")))
    expected = golden(f"{name}-w8")
    with torch.no_grad():
        found = network(nchw(image(f"{name}-{case}", tuple(expected[f"{case}/shape"]))))
    for key, output in zip(("out2", "out1"), found, strict=True):
        np.testing.assert_allclose(nhwc(output), expected[f"{case}/{key}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", ["a", "local"])
def test_nafnet(state_dict, golden, image, case):
    """But for "local": without windows, so that it must differ where the published one has them."""
    network = load_published(NAFNet(8, BLOCKS), state_dict("nafnet-w8"))
    expected = golden("nafnet-w8")[f"{case}/deblurred"]
    with torch.no_grad():
        (found,) = network(nchw(image(f"nafnet-{case}", expected.shape)))
    difference = np.abs(nhwc(found) - expected).max()
    assert (difference < 1e-5) == (case == "a")


def test_joint_network(state_dict, golden, image):
    network = load_published(JointNet(8), state_dict("MSDI2E-w8"))
    expected = golden("MSDI2E-w8")
    found = network(*(nchw(image(f"MSDI2E-{kind}", (2, 64, 64, 3))) for kind in ("blur", "sharp")))
    for key, output in zip(("deblurred", "reblurred"), found, strict=True):
        np.testing.assert_allclose(nhwc(output), expected[f"eval/{key}"], rtol=0, atol=2e-6)


def test_discriminator(state_dict, golden, image):
    network = load_published(Discriminator(8), state_dict("MultiscaleDiscriminator-w8"))
    expected = golden("MultiscaleDiscriminator-w8")
    found = network(nchw(image("D-in", (2, 64, 64, 6))))
    for scale, features in enumerate(found):
        for layer, feature in enumerate(features):
            key = f"d{scale}/f{layer}"
            np.testing.assert_allclose(nhwc(feature), expected[key], rtol=0, atol=1e-5)


@pytest.fixture
def pair(image):
    names = ("train-blur", "train-sharp")
    return [nchw(image(name, (2, 64, 64, 3), dtype=np.float64)) for name in names]


def test_three_steps_of_stage_2(state_dict, golden, pair):
    network = load_published(MSDINet(8, 1), state_dict("msdi_net-w8", np.float64))
    step = deblur_step(network, network.net_prior)
    for expected in golden("train-w8")["deblur/steps"]:
        found = step(*pair)
        found = [found[key] for key in ("psnr_loss", "feature_loss", "gradient_norm")]
        np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_first_losses_of_stage_1(state_dict, golden, pair):
    """Later ones also depend on the perceptual term, which needs VGG19."""
    network = load_published(JointNet(8), state_dict("MSDI2E-w8", np.float64))
    discriminator = load_published(
        Discriminator(8), state_dict("MultiscaleDiscriminator-w8", np.float64)
    )
    found = reblur_step(network, discriminator)(*pair)
    expected = golden("train-w8")["reblur/steps"][0]
    for column, key in ((0, "hinge_generator"), (1, "feature_matching"), (3, "l1")):
        np.testing.assert_allclose(found[key], expected[column], rtol=1e-8, err_msg=key)


def test_keys_that_do_not_fit_are_named(state_dict):
    weights = dict(state_dict("msdi_net-w8"))
    weights["extra.weight"] = weights.pop("last.weight")
    with pytest.raises(ValueError, match=r"extra\.weight, last\.weight"):
        load_published(MSDINet(8, 1), weights)
