"""Files of weights: types of arrays, safetensors, damaged files and missing packages."""

import json
import sys

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.interop import convert
from msdi_jax.interop.weight_selection import read
from tests.torch_files import DISCRIMINATOR, MSDI_NET, save, tensors


def test_a_safetensors_file_is_converted_and_exported_without_pytorch(
    state_dict, tmp_path, monkeypatch
):
    """All arrays are the same, including those that are never used."""
    weights, description = state_dict(MSDI_NET), {"architecture", "licence", "format"}
    save_file(
        {key: np.asarray(array) for key, array in weights.items()}, tmp_path / "a.safetensors"
    )
    monkeypatch.setitem(sys.modules, "torch", None)
    main(["convert", str(tmp_path / "a.safetensors"), str(tmp_path / "model")])
    file = tmp_path / f"{'p' * 243}.safetensors"  # the longest name allowed
    main(["export", str(tmp_path / "model"), str(file)])
    exported = load_file(file)
    assert {k: v.dtype for k, v in exported.items()} == {k: v.dtype for k, v in weights.items()}
    for key, array in exported.items():
        np.testing.assert_array_equal(array, weights[key], err_msg=key)
    with safe_open(file, "numpy") as opened:
        metadata = opened.metadata()
    assert set(metadata) == description
    fields = json.loads(metadata["architecture"])
    assert models.Architecture(**fields) == models.read_description(tmp_path / "model").architecture


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float64])
def test_floating_point_arrays_become_float32(state_dict, tmp_path, dtype):
    weights = {key: np.asarray(array, dtype) for key, array in state_dict(DISCRIMINATOR).items()}
    save_file(weights, tmp_path / "a.safetensors")
    save(tmp_path / "a.pth", {k: torch.tensor(v.astype(np.float32)) for k, v in weights.items()})
    for name in ("a.safetensors", "a.pth"):
        for key, array in read(tmp_path / name).arrays.items():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, weights[key].astype(np.float32), err_msg=key)


def test_arrays_of_numpy_and_half_precision_in_a_pytorch_file(state_dict, tmp_path):
    weights = state_dict(DISCRIMINATOR)
    halved = {key: tensor.bfloat16() for key, tensor in tensors(weights).items()}
    for content in (weights, halved):
        arrays = read(save(tmp_path / "a.pth", {"params": dict(content)})).arrays
        for key, array in arrays.items():
            assert array.dtype == np.float32
            np.testing.assert_allclose(array, weights[key], rtol=2**-8, err_msg=key)


def test_a_safetensors_file_of_another_name_is_read(state_dict, tmp_path):
    weights = state_dict(DISCRIMINATOR)
    save_file(weights, tmp_path / "a.pth")
    assert set(read(tmp_path / "a.pth").arrays) == set(weights)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pytorch_file_named_safetensors_is_read(state_dict, tmp_path, zipped):
    weights = tensors(state_dict(DISCRIMINATOR))
    torch.save(weights, tmp_path / "a.safetensors", _use_new_zipfile_serialization=zipped)
    assert set(read(tmp_path / "a.safetensors").arrays) == set(weights)


@pytest.mark.parametrize("content", [b"", b"404: Not Found\n", b"\x10\0\0\0\0\0\0\0{damaged"])
def test_a_damaged_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path} is not a complete safetensors file"):
        convert.convert(path, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_missing_package_is_named(state_dict, tmp_path, monkeypatch):
    save_file(dict(state_dict(DISCRIMINATOR)), tmp_path / "a.safetensors")
    convert.convert(tmp_path / "a.safetensors", tmp_path / "model")
    for package, suffix in (("safetensors", "safetensors"), ("torch", "pth")):
        monkeypatch.setitem(sys.modules, package, None)
        message = rf"b\.{suffix} needs {package}: pip install 'msdi_jax\[convert\]'"
        with pytest.raises(ValueError, match=message):
            convert.export(tmp_path / "model", tmp_path / f"b.{suffix}")
    with pytest.raises(ValueError, match=r"a\.safetensors needs safetensors: pip install"):
        read(tmp_path / "a.safetensors")
