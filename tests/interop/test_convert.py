"""Conversion of published files to model directories, and reading of VGG19."""

import pickle

import numpy as np
import pytest
import torch

import msdi_jax
from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.configs import base
from msdi_jax.interop import convert
from msdi_jax.training import run, sources
from tests.torch_files import (
    DISCRIMINATOR,
    ENCODER,
    MSDI_NET,
    PYRAMID,
    CreatesFile,
    part,
    published_shapes,
    save,
    tensors,
)


def without(weights, *prefixes):
    return {k: v for k, v in weights.items() if not k.startswith(prefixes)}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("msdi_net-w8", ("msdi_net", 8, 16, 1)),
        pytest.param("msdi2_net-w8", ("msdi_net", 8, 16, 2), marks=pytest.mark.slow),
        pytest.param("MSDI2E-w8", ("reblur_deblur_net", 8, 16, 2), marks=pytest.mark.slow),
        (DISCRIMINATOR, ("discriminator", 8, None, None)),
    ],
)
def test_outputs_match_the_published_ones(state_dict, tmp_path, golden, image, name, fields):
    source = save(tmp_path / "source.pth", {"params": tensors(state_dict(name))})
    main(["convert", str(source), str(tmp_path / "model")])
    loaded, expected = msdi_jax.load(tmp_path / "model"), golden(name)
    sizes = loaded.architecture
    assert (sizes.kind, sizes.width, sizes.hidden, sizes.version) == fields
    for key, array in outputs(loaded, name, expected, image).items():
        np.testing.assert_allclose(array, expected[key], rtol=1e-5, atol=1e-5, err_msg=key)


def outputs(loaded, name, expected, image):
    if name == DISCRIMINATOR:
        features = loaded(image("D-in", (2, 64, 64, 6)))
        return {f"d{s}/f{i}": x for s, scale in enumerate(features) for i, x in enumerate(scale)}
    if name == "MSDI2E-w8":
        output = loaded(*(image(f"MSDI2E-{k}", (2, 64, 64, 3)) for k in ("blur", "sharp")))
        return {"eval/deblurred": output.deblurred, "eval/reblurred": output.reblurred}
    blurry = image(f"{name.removesuffix('-w8')}-a", tuple(expected["a/shape"]))
    output = loaded(blurry)
    return {"a/out1": output.intermediate, "a/out2": output.deblurred}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: w,
        lambda w: {f"module.{k}": v for k, v in w.items()},
        lambda w: {"params": {f"module.{k}": v for k, v in w.items()}, "step": 3},
        lambda w: {k: v.double() for k, v in w.items()},
    ],
    ids=["bare", "module", "params and module", "double"],
)
def test_wrappers_and_types_make_no_difference(state_dict, tmp_path, wrap):
    weights = tensors(state_dict(DISCRIMINATOR))
    convert.convert(save(tmp_path / "source.pth", wrap(weights)), tmp_path / "model")
    arrays = convert.to_published(models.load(tmp_path / "model").network)
    assert set(arrays) == set(weights)
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, weights[key], err_msg=key)


@pytest.mark.parametrize(
    ("name", "version", "prefixed"), [("msdi_net-w8", 1, False), ("msdi2_net-w8", 2, True)]
)
def test_encoder_and_pyramid_are_converted_alone_and_together(
    state_dict, tmp_path, name, version, prefixed
):
    weights, sources = tensors(state_dict(name)), {}
    for kind, prefix in (("encoder", ENCODER), ("pyramid", PYRAMID)):
        arrays = part(weights, prefix)
        keys = {key: prefix + key if prefixed else key for key in arrays}
        sources[kind] = save(tmp_path / f"{kind}.pth", {keys[k]: v for k, v in arrays.items()})
        alone = convert.convert(sources[kind], tmp_path / kind).description.architecture
        assert (alone.kind, alone.width, alone.version) == (kind, 8, version)
        network = models.load(tmp_path / kind).network
        for key, array in convert.to_published(network).items():
            np.testing.assert_array_equal(array, weights[key], err_msg=key)
    together = tmp_path / "both"
    converted = convert.convert(sources["encoder"], together, pyramid=sources["pyramid"])
    both = converted.description.architecture
    assert (both.kind, both.version) == ("degradation", version)
    arrays = convert.to_published(models.load(together).estimator)
    assert set(arrays) == {key for key in weights if key.startswith((ENCODER, PYRAMID))}


def test_a_separate_encoder_runs(state_dict, tmp_path, golden, image):
    source = save(tmp_path / "source.pth", part(tensors(state_dict(MSDI_NET)), ENCODER))
    convert.convert(source, tmp_path / "model")
    expected = golden(MSDI_NET)
    actual = msdi_jax.load(tmp_path / "model")(image("msdi_net-a", tuple(expected["a/shape"])))
    np.testing.assert_allclose(actual, expected["a/prior"], rtol=1e-5, atol=5e-5)


def test_encoder_and_pyramid_may_come_from_other_files(state_dict, tmp_path):
    weights = tensors(state_dict(MSDI_NET))
    source = save(tmp_path / "source.pth", without(weights, ENCODER, PYRAMID))
    encoder = save(tmp_path / "net_E.pth", part(weights, ENCODER))
    # --key chooses in the files that have it.
    parameters = {"params": part(weights, PYRAMID), "params_ema": part(weights, PYRAMID)}
    pyramid = save(tmp_path / "prior_upsampling.pth", parameters)
    with pytest.raises(ValueError, match=r"the encoder .* is missing: give its file by --encoder"):
        convert.convert(source, tmp_path / "model", pyramid=pyramid, key="params")
    arguments = ["convert", str(source), str(tmp_path / "model")]
    arguments += ["--encoder", str(encoder), "--pyramid", str(pyramid)]
    with pytest.raises(SystemExit, match="weights under params, params_ema: choose one by --key"):
        main(arguments)
    with pytest.raises(ValueError, match="no weights are under --key gone in any of the files"):
        convert.convert(source, tmp_path / "model", encoder=encoder, key="gone")
    main([*arguments, "--key", "params"])
    loaded = models.load(tmp_path / "model")
    assert loaded.description.architecture.kind == "msdi_net"
    assert loaded.description.provenance["encoder"]["file"] == "net_E.pth"
    for key, array in convert.to_published(loaded.network).items():
        np.testing.assert_array_equal(array, weights[key], err_msg=key)
    with pytest.raises(ValueError, match="already contains the encoder"):
        convert.convert(save(tmp_path / "whole.pth", weights), tmp_path / "model", encoder=encoder)
    with pytest.raises(ValueError, match=r"net_E\.pth has no pyramid"):
        convert.convert(source, tmp_path / "model", encoder=encoder, pyramid=encoder)


def test_the_width_is_detected_from_shapes(state_dict, tmp_path):
    """A pyramid of half the width: half of every row and column."""
    halved = {}
    for key, array in part(tensors(state_dict("msdi2_net-w8")), PYRAMID).items():
        kernel = array.shape[:2] if key.endswith("weight_orig") else array.shape
        halved[key] = array[tuple(slice(n // 2) for n in kernel)].clone()
    converted = convert.convert(save(tmp_path / "source.pth", halved), tmp_path / "model")
    assert converted.description.architecture.width == 4


def test_a_discriminator_is_refused_by_other_uses(state_dict, tmp_path):
    destination = tmp_path / "model"
    convert.convert(save(tmp_path / "source.pth", tensors(state_dict(DISCRIMINATOR))), destination)
    loaded = models.load(destination)
    with pytest.raises(ValueError, match="the discriminator model does not deblur"):
        loaded.deblur(np.zeros((1, 16, 16, 3)))
    with pytest.raises(ValueError, match="has no degradation encoder"):
        loaded.degradation(np.zeros((1, 16, 16, 3)))
    with pytest.raises(ValueError, match=f"{destination} is a discriminator model, not VGG19"):
        convert.read_vgg(str(destination))
    with pytest.raises(ValueError, match=f"vgg_weights={destination} is neither"):
        sources.check_vgg(str(destination))


def test_training_checks_the_encoder_that_it_freezes(state_dict, tmp_path):
    weights = tensors(state_dict("msdi2_net-w8"))
    for kind, prefix in (("encoder", ENCODER), ("pyramid", PYRAMID)):
        convert.convert(save(tmp_path / f"{kind}.pth", part(weights, prefix)), tmp_path / kind)
    config = base.get_config()
    config.stages = ("deblur",)
    config.width = 8
    config.deblur.features_from = str(tmp_path / "encoder")
    config.deblur.degradation_from = str(tmp_path / "encoder")
    with pytest.raises(ValueError, match=r"degradation_from=.* is a encoder model: give one of"):
        run.check_config(config)
    convert.convert(tmp_path / "encoder.pth", tmp_path / "both", pyramid=tmp_path / "pyramid.pth")
    config.deblur.degradation_from = str(tmp_path / "both")
    run.check_config(config)
    config.version = 1
    with pytest.raises(ValueError, match="has a different degradation encoder: set version=2, or"):
        run.check_config(config)
    config.version, config.width = 2, 16
    with pytest.raises(ValueError, match="has a different degradation encoder: set width=8, or"):
        run.check_config(config)


def vgg_checkpoint(path, **changes):
    """Write a file like torchvision's; each array has one value, which keeps the file small."""
    shapes = {key: shape for key, (shape, _) in published_shapes("vgg19").items()}
    shapes |= {"classifier.0.weight": (4096, 25088), "classifier.0.bias": (4096,)}
    weights = {
        key: torch.tensor([float(i)]).expand(shape) for i, (key, shape) in enumerate(shapes.items())
    }
    torch.save(weights | changes, path)
    return weights


def test_vgg19_from_torchvisions_file(tmp_path):
    source = tmp_path / "vgg19.pth"
    vgg_checkpoint(source)
    converted = convert.convert(source, tmp_path / "vgg")
    assert converted.description.architecture.kind == "vgg19"
    assert (converted.arrays, len(converted.unused)) == (26, 8)
    assert not (tmp_path / "vgg" / "unused.npz").exists()
    for (i, a), (j, b) in zip(
        convert.read_vgg(str(tmp_path / "vgg"))["conv"].items(),
        convert.read_vgg(str(source))["conv"].items(),
        strict=True,
    ):
        assert str(i) == str(j)
        np.testing.assert_array_equal(a["kernel"], b["kernel"])
    with pytest.raises(ValueError, match="use torchvision's own file"):
        convert.export(tmp_path / "vgg", tmp_path / "out.pth")


def test_read_vgg_reads_torchvisions_layout(tmp_path):
    weights = vgg_checkpoint(tmp_path / "vgg19.pth")
    network = convert.read_vgg(str(tmp_path / "vgg19.pth"))
    assert list(network) == ["conv"]
    assert len(network["conv"]) == 13
    for index, arrays in network["conv"].items():
        for name, ours in (("kernel", "weight"), ("bias", "bias")):
            expected = weights[f"features.{index}.{ours}"]
            assert sorted(arrays[name].shape) == sorted(expected.shape)
            assert arrays[name].flat[0] == expected.flatten()[0]


def test_read_vgg_refuses_another_networks_checkpoint(tmp_path):
    vgg_checkpoint(tmp_path / "a.pth", **{"features.0.weight": torch.zeros(64, 1, 3, 3)})
    with pytest.raises(ValueError, match=r"misshaped: features\.0\.weight is \(64, 1, 3, 3\)"):
        convert.read_vgg(str(tmp_path / "a.pth"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint\n", b"PK\x03\x04", b"\x80\x02"])
def test_read_vgg_refuses_damaged_files(tmp_path, content):
    path = tmp_path / "vgg.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path} is not a PyTorch checkpoint"):
        convert.read_vgg(str(path))


def test_read_vgg_refuses_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.pth is not a PyTorch checkpoint"):
        convert.read_vgg(str(tmp_path / "gone.pth"))


@pytest.mark.parametrize("zipped", [True, False])
def test_read_vgg_does_not_run_code(tmp_path, zipped):
    path, marker = tmp_path / "vgg.pth", tmp_path / "executed"
    if zipped:
        torch.save({"features.0.weight": CreatesFile(marker)}, path)
    else:
        path.write_bytes(pickle.dumps(CreatesFile(marker), protocol=2))
    with pytest.raises(ValueError, match="is not a PyTorch checkpoint of tensors"):
        convert.read_vgg(str(path))
    assert not marker.exists()
