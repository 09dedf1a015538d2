"""`python -m msdi_jax convert`: files in, model directories out, everything else refused."""

import hashlib
import json
import os
import pickle
import re

import numpy as np
import pytest
import torch

import msdi_jax
from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.configs import base
from msdi_jax.interop import convert
from msdi_jax.training import run, sources

ENCODER, PYRAMID = "net_prior.", "prior_upsampling."
MSDI_NET, JUDGE = "msdi_net-w8", "MultiscaleDiscriminator-w8"


@pytest.fixture(scope="session")
def published(state_dict):
    """NAME → its stand-in state dict, as tensors."""
    return lambda name: {
        key: torch.from_numpy(np.array(array)) for key, array in state_dict(name).items()
    }


def part(weights, prefix):
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def without(weights, *prefixes):
    return {k: v for k, v in weights.items() if not k.startswith(prefixes)}


@pytest.fixture
def file(tmp_path):
    """(content, name) → a file made by torch.save."""

    def write(content, name="source.pth"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write


def files_below(path):
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("msdi_net-w8", ("msdi_net", 8, 16, 1)),
        pytest.param("msdi2_net-w8", ("msdi_net", 8, 16, 2), marks=pytest.mark.slow),
        pytest.param("MSDI2E-w8", ("reblur_deblur_net", 8, 16, 2), marks=pytest.mark.slow),
        (JUDGE, ("discriminator", 8, None, None)),
    ],
)
def test_outputs_match_the_goldens(published, file, golden, image, tmp_path, name, fields):
    source = file({"params": published(name)})
    main(["convert", str(source), str(tmp_path / "model")])
    loaded, expected = msdi_jax.load(tmp_path / "model"), golden(name)
    found = loaded.architecture
    assert (found.kind, found.width, found.hidden, found.version) == fields
    for key, array in outputs(loaded, name, expected, image).items():
        np.testing.assert_allclose(array, expected[key], rtol=1e-5, atol=1e-5, err_msg=key)


def outputs(loaded, name, expected, image):
    if name == JUDGE:
        features = loaded(image("D-in", (2, 64, 64, 6)))
        return {f"d{s}/f{i}": x for s, scale in enumerate(features) for i, x in enumerate(scale)}
    if name == "MSDI2E-w8":
        output = loaded(*(image(f"MSDI2E-{k}", (2, 64, 64, 3)) for k in ("blur", "sharp")))
        return {"eval/deblurred": output.deblurred, "eval/reblurred": output.reblurred}
    blurry = image(f"{name.removesuffix('-w8')}-a", tuple(expected["a/shape"]))
    output = loaded(blurry)
    return {"a/out1": output.intermediate, "a/out2": output.deblurred}


def test_what_is_written(published, file, tmp_path, capsys):
    source = file({"params": published(MSDI_NET)}, "net.pth")
    main(["convert", str(source), str(tmp_path / "model"), "--verbose"])
    record = json.loads((tmp_path / "model" / "model.json").read_text())
    provenance = record["provenance"]
    assert provenance["file"] == "net.pth"
    assert provenance["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (provenance["network"], provenance["width"]) == ("msdi_net", 8)
    assert "unclear" in record["licence"]
    printed = capsys.readouterr().out
    unused = [k for k in published(MSDI_NET) if ".conv_4." in k or "param_free_norm" in k]
    assert f"{len(unused)} keys that the network never uses" in printed
    assert re.findall(r"^  (\S+)$", printed, re.MULTILINE) == unused
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "net.pth"]


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
def test_wrappers_make_no_difference(published, file, tmp_path, wrap):
    weights = published(JUDGE)
    convert.convert(file(wrap(weights)), tmp_path / "model")
    found = convert.to_published(models.load(tmp_path / "model").network)
    assert set(found) == set(weights)
    for key, array in found.items():
        np.testing.assert_array_equal(array, weights[key], err_msg=key)


def test_of_two_sets_of_weights_none_is_chosen(published, file, tmp_path):
    weights = published(JUDGE)
    source = file({"params": weights, "params_ema": weights, "optimizer": {"lr": 1}})
    with pytest.raises(ValueError, match=r"holds params_ema beside params: .*\['params_ema'\]"):
        convert.convert(source, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("name", "version", "prefixed"), [("msdi_net-w8", 1, False), ("msdi2_net-w8", 2, True)]
)
def test_encoder_and_pyramid_alone_and_together(published, file, tmp_path, name, version, prefixed):
    weights, sources = published(name), {}
    for kind, prefix in (("encoder", ENCODER), ("pyramid", PYRAMID)):
        alone = part(weights, prefix)
        keys = {key: prefix + key if prefixed else key for key in alone}
        sources[kind] = file({keys[k]: v for k, v in alone.items()}, f"{kind}.pth")
        found = convert.convert(sources[kind], tmp_path / kind).description.architecture
        assert (found.kind, found.width, found.version) == (kind, 8, version)
        network = models.load(tmp_path / kind).network
        for key, array in convert.to_published(network).items():
            np.testing.assert_array_equal(array, weights[key], err_msg=key)
    together = tmp_path / "both"
    converted = convert.convert(sources["encoder"], together, pyramid=sources["pyramid"])
    both = converted.description.architecture
    assert (both.kind, both.version) == ("degradation", version)
    found = convert.to_published(models.load(together).estimator)
    assert set(found) == {key for key in weights if key.startswith((ENCODER, PYRAMID))}


def test_an_encoder_alone_runs(published, file, golden, image, tmp_path):
    convert.convert(file(part(published(MSDI_NET), ENCODER)), tmp_path / "model")
    expected = golden(MSDI_NET)
    found = msdi_jax.load(tmp_path / "model")(image("msdi_net-a", tuple(expected["a/shape"])))
    np.testing.assert_allclose(found, expected["a/prior"], rtol=1e-5, atol=5e-5)


def test_a_source_without_its_parts(published, file, tmp_path):
    weights = published(MSDI_NET)
    source = file(without(weights, ENCODER, PYRAMID))
    encoder = file(part(weights, ENCODER), "net_E.pth")
    pyramid = file({"params": part(weights, PYRAMID)}, "prior_upsampling.pth")
    with pytest.raises(ValueError, match=r"the encoder .* is missing: give its file by --encoder"):
        convert.convert(source, tmp_path / "model", pyramid=pyramid)
    arguments = ["convert", str(source), str(tmp_path / "model")]
    main([*arguments, "--encoder", str(encoder), "--pyramid", str(pyramid)])
    loaded = models.load(tmp_path / "model")
    assert loaded.description.architecture.kind == "msdi_net"
    assert loaded.description.provenance["encoder"]["file"] == "net_E.pth"
    for key, array in convert.to_published(loaded.network).items():
        np.testing.assert_array_equal(array, weights[key], err_msg=key)
    with pytest.raises(ValueError, match="has its own encoder"):
        convert.convert(file(weights, "whole.pth"), tmp_path / "model", encoder=encoder)
    with pytest.raises(ValueError, match=r"net_E\.pth holds no pyramid"):
        convert.convert(source, tmp_path / "model", encoder=encoder, pyramid=encoder)


def test_the_width_comes_from_the_shapes(published, file, tmp_path):
    """A pyramid of half the width: half of every row and column."""
    halved = {}
    for key, array in part(published("msdi2_net-w8"), PYRAMID).items():
        kernel = array.shape[:2] if key.endswith("weight_orig") else array.shape
        halved[key] = array[tuple(slice(n // 2) for n in kernel)].clone()
    assert convert.convert(file(halved), tmp_path / "model").description.architecture.width == 4


def change(weights, key, value=None):
    if value is None:
        del weights[key]
    else:
        weights[key] = value
    return weights


KEY = "discriminator_0.model1.0.0.weight_orig"
DAMAGES = {
    "removed": (lambda w: change(w, KEY), f"missing: {KEY}"),
    "added": (lambda w: change(w, "extra.weight", torch.zeros(3)), "unknown: extra.weight"),
    "transposed": (
        lambda w: change(w, KEY, w[KEY].mT.transpose(0, 1).contiguous()),
        f"misshaped: {KEY} is (8, 16, 4, 4), expected (16, 8, 4, 4)",
    ),
    "not finite": (
        lambda w: change(w, KEY, w[KEY].clone().index_fill_(0, torch.tensor([0]), torch.nan)),
        f"not finite, the weights are damaged: {KEY}",
    ),
    "integers": (lambda w: change(w, KEY, w[KEY].long()), f"not floating-point: {KEY}"),
    "no tensor": (lambda w: w | {KEY: 3}, f"{KEY!r} holds a int"),
    "another network": (lambda _: {"fc.weight": torch.zeros(2, 3)}, "keys (fc.weight, …)"),
    "empty": (lambda _: {}, "it has no named arrays"),
    "a list": (lambda w: list(w.values()), "it has no named arrays"),
}


@pytest.fixture
def judge_model(published, file, tmp_path):
    """A converted discriminator, and what is on disk before the test does something."""
    destination = tmp_path / "out" / "model"
    convert.convert(file(published(JUDGE), "first.pth"), destination)
    return destination, files_below(destination.parent)


def refused(source, destination):
    """The one-line error of the command."""
    with pytest.raises(SystemExit) as error:
        main(["convert", str(source), str(destination)])
    assert isinstance(error.value.code, str)  # printed, and exit status 1
    return error.value.code


@pytest.mark.parametrize("name", DAMAGES)
def test_unfit_files_are_refused(published, file, judge_model, name):
    destination, before = judge_model
    damage, message = DAMAGES[name]
    source = file(damage(published(JUDGE)))
    found = refused(source, destination)
    assert str(source) in found
    assert message in found
    assert files_below(destination.parent) == before


def test_all_keys_in_one_error(published, file, tmp_path):
    """Also when the keys that tell the width are among them, and a never used one is misshaped."""
    weights = published(MSDI_NET)
    del weights["conv_01.bias"], weights["net_prior.layer6.0.weight_u"]
    weights["last.weight"] = torch.zeros(3, 4, 3, 3)
    weights["cat13.weight"] = torch.zeros(1)
    weights["down_path_1.0.conv_4.weight"] = torch.zeros(8, 4, 1, 1)
    weights["cat12.weight"] = weights["cat12.weight"].transpose(0, 1)
    found = refused(file(weights), tmp_path / "model")
    assert set(found.split("\n  ")[1:]) == {
        "unknown: cat13.weight",
        "missing: net_prior.layer6.0.weight_u",
        "missing: conv_01.bias",
        "misshaped: cat12.weight is (16, 8, 1, 1), expected (8, 16, 1, 1)",
        "misshaped: last.weight is (3, 4, 3, 3), expected (3, 8, 3, 3)",
        "misshaped: down_path_1.0.conv_4.weight is (8, 4, 1, 1), expected (8, 8, 1, 1)",
    }
    assert not (tmp_path / "model").exists()


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("kind", ["truncated", "text", "gone", "malicious", "malicious legacy"])
def test_damaged_and_malicious_files_are_refused(published, file, judge_model, tmp_path, kind):
    destination, before = judge_model
    source, marker = tmp_path / "bad.pth", tmp_path / "executed"
    if kind == "truncated":
        content = file(published(JUDGE)).read_bytes()
        source.write_bytes(content[: len(content) // 2])
    elif kind == "text":
        source.write_text("404: Not Found\n")
    elif kind == "malicious":
        file(published(JUDGE) | {"x": Touch(marker)}, "bad.pth")
    elif kind == "malicious legacy":
        source.write_bytes(pickle.dumps(Touch(marker), protocol=2))
    found = refused(source, destination)
    assert f"{source} is no PyTorch checkpoint of tensors" in found
    assert "weights_only" not in found
    if kind == "malicious":
        assert "it wants to run posix.system, which is refused" in found
    assert not marker.exists()
    assert files_below(destination.parent) == before


def test_what_is_no_model_is_never_replaced(published, file, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    found = refused(file(published(JUDGE)), tmp_path / "home")
    assert "home exists and is no model directory" in found
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["thesis.tex"]


def test_check_prints_statistics_and_refuses_broken_weights(published, file, judge_model, capsys):
    destination, before = judge_model
    weights = published(JUDGE)
    main(["convert", "--check", str(file(weights)), str(destination.with_name("new"))])
    figures = r"\[\d\]\[\d\] +1×\d+×\d+×\d+( +-?\d+\.\d{4}){4}"
    lines = capsys.readouterr().out.splitlines()
    assert sum(bool(re.fullmatch(figures, line)) for line in lines) == 10
    # Finite, but not what they make.
    weights["discriminator_1.model4.0.weight"][:] = torch.finfo(torch.float32).max
    with pytest.raises(SystemExit, match=r"\[1\]\[4\] of a forward pass is not finite"):
        main(["convert", "--check", str(file(weights)), str(destination)])
    assert files_below(destination) == {p: b for p, b in before.items() if destination in p.parents}


def test_vgg19_from_torchvisions_file(state_dict, file, tmp_path):
    weights = {
        key: torch.full((1,), float(i)).expand(array.shape)
        for i, (key, array) in enumerate(state_dict("vgg19").items())
    }
    source = file(weights | {"classifier.0.bias": torch.zeros(4096)})
    found = convert.convert(source, tmp_path / "vgg")
    assert (found.description.architecture.kind, found.arrays, len(found.unused)) == (
        "vgg19",
        26,
        7,
    )
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


def test_models_are_refused_where_they_do_not_fit(judge_model):
    destination, _ = judge_model
    loaded = models.load(destination)
    with pytest.raises(ValueError, match="the discriminator model deblurs nothing"):
        loaded.deblur(np.zeros((1, 16, 16, 3)))
    with pytest.raises(ValueError, match="has no degradation encoder"):
        loaded.degradation(np.zeros((1, 16, 16, 3)))
    with pytest.raises(ValueError, match=f"{destination} is a discriminator model, not VGG19"):
        convert.read_vgg(str(destination))
    with pytest.raises(ValueError, match=f"vgg_weights={destination} is neither"):
        sources.check_vgg(str(destination))


def test_training_checks_what_it_starts_from(published, file, tmp_path):
    weights = published("msdi2_net-w8")
    for kind, prefix in (("encoder", ENCODER), ("pyramid", PYRAMID)):
        convert.convert(file(part(weights, prefix), f"{kind}.pth"), tmp_path / kind)
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
