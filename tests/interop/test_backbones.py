"""NAFNet and HINet: from published files to golden outputs, and back."""

import numpy as np
import pytest
import torch
from flax import nnx

import msdi_jax
from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.interop import detect
from msdi_jax.models import cost
from msdi_jax.models.architecture import Architecture
from msdi_jax.networks.nafnet import BLOCKS
from tests.torch_files import published_shapes, save, tensors

SMALL = (1, 1, 1, 2, 1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nafnet-w8", Architecture("nafnet", 8, blocks=SMALL)),
        ("nafnet-w32", Architecture("nafnet", 32, blocks=BLOCKS)),
        ("nafnet-w64", Architecture("nafnet", 64)),
        ("hinet-w8", Architecture("hinet", 8)),
        ("hinet", Architecture("hinet", 64)),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_files_are_detected(name, expected, prefix):
    weights = {prefix + k: np.empty(shape) for k, (shape, _) in published_shapes(name).items()}
    assert detect.detect(detect.standard_keys(weights)) == expected


@pytest.mark.parametrize("name", ["nafnet", "hinet"])
def test_files_convert_and_export_bit_by_bit(state_dict, tmp_path, golden, image, name):
    weights = tensors(state_dict(f"{name}-w8"))
    source = save(tmp_path / "source.pth", {"params": weights})
    main(["convert", str(source), str(tmp_path / "model")])
    model = msdi_jax.load(tmp_path / "model")
    assert model.description.licence.startswith("MIT")
    expected = golden(f"{name}-w8")
    deblurred = model.deblur(image(f"{name}-a", tuple(expected["a/shape"])))
    np.testing.assert_allclose(deblurred, expected["a/deblurred"], rtol=0, atol=1e-5)
    main(["export", str(tmp_path / "model"), str(tmp_path / "back.pth")])
    back = torch.load(tmp_path / "back.pth", weights_only=True)["params"]
    assert set(back) == set(weights)
    for key, array in back.items():
        torch.testing.assert_close(array, weights[key], rtol=0, atol=0)


@pytest.mark.parametrize(("width", "macs"), [(32, 15.96), (64, 63.05)])
def test_multiplications_are_the_published_ones(width, macs):
    """Of 256×256 pixels; the published count leaves out element-wise products."""
    assert cost.count(Architecture("nafnet", width)).macs / 1e9 == pytest.approx(macs, abs=0.005)


def test_a_network_without_published_files_is_not_exported(tmp_path):
    architecture = Architecture("modulated_nafnet", 2, blocks=(1, 1, 1))
    network = architecture.build(nnx.Rngs(0))
    models.save(tmp_path / "model", network, models.Description(architecture, {}, ""))
    with pytest.raises(SystemExit, match="a modulated_nafnet, of which there are no"):
        main(["export", str(tmp_path / "model"), str(tmp_path / "back.pth")])
    assert not (tmp_path / "back.pth").exists()
