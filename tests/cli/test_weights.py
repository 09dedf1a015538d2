"""`msdi convert` and `msdi compact`."""

import hashlib
import json
import pickle
import re

import pytest
import torch

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.interop import convert
from msdi_jax.networks.functional import abstract
from tests.small_networks import draw_arrays
from tests.torch_files import DISCRIMINATOR, MSDI_NET, CreatesFile, save, tensors


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
    "another network": (
        lambda _: {"fc.weight": torch.zeros(2, 3)},
        "its keys (fc.weight, …) belong to no network",
    ),
    "empty": (lambda _: {}, "it has no named arrays"),
    "a list": (lambda w: list(w.values()), "it has no named arrays"),
}


def files_below(path):
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.fixture
def discriminator_model(state_dict, tmp_path):
    """A converted discriminator, and the files on disk before the test."""
    destination = tmp_path / "out" / "model"
    convert.convert(save(tmp_path / "first.pth", tensors(state_dict(DISCRIMINATOR))), destination)
    return destination, files_below(destination.parent)


def convert_error(source, destination):
    """Run `msdi convert`, which must fail, and return its message."""
    with pytest.raises(SystemExit) as error:
        main(["convert", str(source), str(destination)])
    assert isinstance(error.value.code, str)  # printed, and exit status 1
    return error.value.code


def test_convert_writes_provenance_and_prints_unused_keys(state_dict, tmp_path, capsys):
    source = save(tmp_path / "net.pth", {"params": tensors(state_dict(MSDI_NET))})
    main(["convert", str(source), str(tmp_path / "model"), "--verbose"])
    record = json.loads((tmp_path / "model" / "model.json").read_text())
    provenance = record["provenance"]
    assert provenance["file"] == "net.pth"
    assert provenance["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (provenance["network"], provenance["width"]) == ("msdi_net", 8)
    assert "unclear" in record["licence"]
    printed = capsys.readouterr().out
    unused = [k for k in tensors(state_dict(MSDI_NET)) if ".conv_4." in k or "param_free_norm" in k]
    assert f"{len(unused)} keys that the network never uses" in printed
    assert re.findall(r"^  (\S+)$", printed, re.MULTILINE) == unused
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "net.pth"]


@pytest.mark.parametrize("name", DAMAGES)
def test_convert_refuses_files_that_do_not_fit(state_dict, tmp_path, discriminator_model, name):
    destination, before = discriminator_model
    damage, message = DAMAGES[name]
    source = save(tmp_path / "source.pth", damage(tensors(state_dict(DISCRIMINATOR))))
    printed = convert_error(source, destination)
    assert str(source) in printed
    assert message in printed
    assert files_below(destination.parent) == before


def test_convert_lists_all_keys_in_one_error(state_dict, tmp_path):
    """Keys that give the width and a misshaped key that is never used are listed too."""
    weights = tensors(state_dict(MSDI_NET))
    del weights["conv_01.bias"], weights["net_prior.layer6.0.weight_u"]
    weights["last.weight"] = torch.zeros(3, 4, 3, 3)
    weights["cat13.weight"] = torch.zeros(1)
    weights["down_path_1.0.conv_4.weight"] = torch.zeros(8, 4, 1, 1)
    weights["cat12.weight"] = weights["cat12.weight"].transpose(0, 1)
    printed = convert_error(save(tmp_path / "source.pth", weights), tmp_path / "model")
    assert set(printed.split("\n  ")[1:]) == {
        "unknown: cat13.weight",
        "missing: net_prior.layer6.0.weight_u",
        "missing: conv_01.bias",
        "misshaped: cat12.weight is (16, 8, 1, 1), expected (8, 16, 1, 1)",
        "misshaped: last.weight is (3, 4, 3, 3), expected (3, 8, 3, 3)",
        "misshaped: down_path_1.0.conv_4.weight is (8, 4, 1, 1), expected (8, 8, 1, 1)",
    }
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("kind", ["truncated", "text", "gone", "malicious", "malicious legacy"])
def test_convert_refuses_damaged_and_malicious_files(
    state_dict, tmp_path, discriminator_model, kind
):
    destination, before = discriminator_model
    source, marker = tmp_path / "bad.pth", tmp_path / "executed"
    if kind == "truncated":
        content = save(tmp_path / "source.pth", tensors(state_dict(DISCRIMINATOR))).read_bytes()
        source.write_bytes(content[: len(content) // 2])
    elif kind == "text":
        source.write_text("404: Not Found\n")
    elif kind == "malicious":
        save(tmp_path / "bad.pth", tensors(state_dict(DISCRIMINATOR)) | {"x": CreatesFile(marker)})
    elif kind == "malicious legacy":
        source.write_bytes(pickle.dumps(CreatesFile(marker), protocol=2))
    printed = convert_error(source, destination)
    assert f"{source} is not a PyTorch checkpoint of tensors" in printed
    assert "weights_only" not in printed
    if kind == "malicious":
        assert "it would run posix.system, which is refused" in printed
    assert not marker.exists()
    assert files_below(destination.parent) == before


def test_convert_never_replaces_other_folders(state_dict, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    source = save(tmp_path / "source.pth", tensors(state_dict(DISCRIMINATOR)))
    printed = convert_error(source, tmp_path / "home")
    assert "home exists and is not a model directory" in printed
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["thesis.tex"]


def test_convert_check_prints_statistics_and_refuses_broken_weights(
    state_dict, tmp_path, discriminator_model, capsys
):
    destination, before = discriminator_model
    weights = tensors(state_dict(DISCRIMINATOR))
    source = save(tmp_path / "source.pth", weights)
    main(["convert", "--check", str(source), str(destination.with_name("new"))])
    figures = r"\[\d\]\[\d\] +1×\d+×\d+×\d+( +-?\d+\.\d{4}){4}"
    lines = capsys.readouterr().out.splitlines()
    assert sum(bool(re.fullmatch(figures, line)) for line in lines) == 10
    # The weights are finite, their outputs are not.
    weights["discriminator_1.model4.0.weight"][:] = torch.finfo(torch.float32).max
    with pytest.raises(SystemExit, match=r"\[1\]\[4\] of a forward pass is not finite"):
        main(["convert", "--check", str(save(tmp_path / "source.pth", weights)), str(destination)])
    assert files_below(destination) == {p: b for p, b in before.items() if destination in p.parents}


def test_compact_keeps_the_arrays_that_export_needs(state_dict, tmp_path):
    expected = tensors(state_dict(DISCRIMINATOR))
    convert.convert(save(tmp_path / "in.pth", expected), tmp_path / "model")
    main(["compact", str(tmp_path / "model"), str(tmp_path / "small")])
    convert.export(tmp_path / "small", tmp_path / "out.pth")
    exported = torch.load(tmp_path / "out.pth", weights_only=True)
    assert set(exported) == set(expected)
    for key, array in expected.items():
        # bfloat16 has eight significant bits.
        assert torch.allclose(exported[key].float(), array.float(), rtol=2**-8, atol=0), key


def test_compact_sets_the_licence(tmp_path):
    description = models.Description(models.Architecture("encoder", 2), {}, "unknown")
    network = draw_arrays(abstract(description.architecture.build))
    models.save(tmp_path / "model", network, description)
    for option, licence in ((["--licence=CC BY 4.0"], "CC BY 4.0"), ([], "unknown")):
        main(["compact", str(tmp_path / "model"), str(tmp_path / licence), *option])
        assert models.read_description(tmp_path / licence).licence == licence
