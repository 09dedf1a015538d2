"""Export of models to PyTorch files with the published keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import msdi_jax
from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.interop import convert
from msdi_jax.models import Architecture
from msdi_jax.networks.functional import abstract
from tests.small_networks import small_network
from tests.torch_files import ENCODER, part, tensors

NETWORKS = {
    "msdi_net": Architecture("msdi_net", 8, version=1),
    "msdi2_net": Architecture("msdi_net", 8),
    "MSDI2E": Architecture("reblur_deblur_net", 8),
    "MultiscaleDiscriminator": Architecture("discriminator", 8),
}


def assert_same(exported, expected):
    assert set(exported) == set(expected)
    for key, array in expected.items():
        assert exported[key].dtype == array.dtype, key
        assert torch.equal(exported[key], array), key


@pytest.mark.parametrize(
    ("name", "wrapped"), [*((name, True) for name in NETWORKS), ("MultiscaleDiscriminator", False)]
)
def test_convert_and_export_return_every_array(state_dict, tmp_path, name, wrapped):
    """Exactly, including the arrays that are never used and the wrapper."""
    expected = tensors(state_dict(f"{name}-w8"))
    torch.save({"params": expected} if wrapped else expected, tmp_path / "in.pth")
    convert.convert(tmp_path / "in.pth", tmp_path / "model")
    file = tmp_path / f"{'p' * 251}.pth"  # the longest name allowed
    main(["export", str(tmp_path / "model"), str(file)])
    exported = torch.load(file, weights_only=True)
    assert_same(exported["params"] if wrapped else exported, expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.pth", "model", file.name]


def test_a_separate_encoder_has_the_keys_of_its_file(state_dict, tmp_path):
    weights = tensors(state_dict("msdi_net-w8"))
    encoder = part(weights, ENCODER)
    torch.save({"params": encoder}, tmp_path / "net_E.pth")
    convert.convert(tmp_path / "net_E.pth", tmp_path / "model")
    convert.export(tmp_path / "model", tmp_path / "out.pth")
    assert_same(torch.load(tmp_path / "out.pth", weights_only=True)["params"], encoder)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("msdi_net", {"native": True}, "has native=True, which no published file can hold"),
        ("msdi_net", {"contrast": True}, "has contrast=True, which"),
        ("msdi_net", {"injected": (3,)}, r"has injected=\(3,\), which"),
        ("msdi_net", {"depth": 3}, "has depth=3, which"),
        ("msdi_net", {"depth": 4, "patch": 2}, "has depth=4, patch=2, which"),
        ("msdi_net", {"degradation_width": 4}, "has degradation_width=4, which"),
        ("reblur_deblur_net", {"depth": 2}, "has depth=2, which"),
    ],
    ids=str,
)
def test_architectures_that_were_not_published_are_refused(tmp_path, kind, fields, message):
    architecture = Architecture(kind, 2, **fields)
    models.save(
        tmp_path / "model", small_network(architecture), models.Description(architecture, {}, "")
    )
    with pytest.raises(ValueError, match=message):
        convert.export(tmp_path / "model", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize("name", ["msdi_net", "MSDI2E"])
def test_a_trained_model_is_exported_with_all_published_keys(state_dict, tmp_path, name):
    """Missing arrays are added: neutral running statistics, zeros elsewhere."""
    description = models.Description(NETWORKS[name], {"trained": "today"}, "mine")
    graph, state = nnx.split(abstract(description.architecture.build))
    fill = jax.tree.map(lambda x: jnp.full(x.shape, 3.0), nnx.to_pure_dict(state))
    models.save(tmp_path / "model", nnx.merge(graph, fill), description)
    convert.export(tmp_path / "model", tmp_path / "out.pth")
    exported = torch.load(tmp_path / "out.pth", weights_only=True)["params"]
    expected = tensors(state_dict(f"{name}-w8"))
    assert {k: (v.shape, v.dtype) for k, v in exported.items()} == {
        k: (v.shape, v.dtype) for k, v in expected.items()
    }
    new = {k: v for k, v in exported.items() if not (v == 3).all()}
    assert len(new) == {"msdi_net": 54, "MSDI2E": 12}[name]
    for key, array in new.items():
        assert (array == (1 if key.endswith("running_var") else 0)).all(), key


@pytest.mark.parametrize("output", ["folder", "gone/out.pth"])
def test_unwritable_outputs_are_refused_before_reading(tmp_path, output):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemExit, match=f"{output} cannot be written"):
        main(["export", str(tmp_path / "no model"), str(tmp_path / output)])


def test_damaged_unused_arrays_are_refused_by_name(tmp_path):
    np.savez(tmp_path / "unused.npz", a=np.zeros(1000))
    assert set(models.load_unused(tmp_path)) == {"a"}
    kept = tmp_path / "unused.npz"
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"{kept} is damaged"):
        models.load_unused(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_full_width_networks_convert_run_and_export(state_dict, tmp_path, name):
    """Width 64 is converted, runs, and is exported with the same arrays."""
    expected = tensors(state_dict(name))
    torch.save({"params": expected}, tmp_path / "in.pth")
    architecture = convert.convert(tmp_path / "in.pth", tmp_path / "model").description.architecture
    assert (architecture.kind, architecture.width) == (NETWORKS[name].kind, 64)
    loaded = msdi_jax.load(tmp_path / "model")
    inputs = [np.full(shape, 0.5, np.float32) for shape in architecture.input_shapes(64)]
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(loaded(*inputs)))
    convert.export(tmp_path / "model", tmp_path / "out.pth")
    assert_same(torch.load(tmp_path / "out.pth", weights_only=True)["params"], expected)
