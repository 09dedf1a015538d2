"""Export to .stablehlo and .onnx: the file gives the same images as the model."""

import sys

import jax
import numpy as np
import onnxruntime
import pytest
from flax import nnx
from jax import export as jax_export

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.interop import export, onnx_graph
from msdi_jax.models import Architecture
from msdi_jax.networks import layers
from tests.small_networks import SMALL, small_network

JOINT = Architecture("reblur_deblur_net", 2, depth=2)
OWN = Architecture("msdi_net", 2, degradation_width=4, depth=3, patch=2, native=True, contrast=True)


def save(path, architecture, **settings):
    description = models.Description(architecture, {}, "CC BY 4.0", **settings)
    models.save(path, small_network(architecture), description)
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save(tmp_path_factory.mktemp("export") / "model", SMALL)


@pytest.mark.parametrize("architecture", [SMALL, JOINT], ids=["msdi_net", "reblur_deblur_net"])
def test_a_stablehlo_file_gives_the_models_images_for_any_batch(tmp_path, capsys, architecture):
    source = save(tmp_path / "model", architecture)
    file = tmp_path / f"{'p' * 245}.stablehlo"  # the longest name allowed
    main(["export", str(source), str(file), "--size", "32x48"])
    assert "(b, 32, 48, 3)" in capsys.readouterr().out
    program = jax_export.deserialize(file.read_bytes())
    loaded = models.load(source)
    for batch in (1, 3):
        images = np.random.default_rng(batch).random((batch, 32, 48, 3), np.float32)
        np.testing.assert_allclose(program.call(images), loaded.deblur(images), atol=1e-5)
    assert set(program.platforms) == {"cpu", "cuda", "rocm", "tpu"}


@pytest.mark.parametrize(
    ("architecture", "window"),
    [
        (SMALL, None),
        pytest.param(Architecture("msdi_net", 2, version=1), None, marks=pytest.mark.slow),
        (OWN, 24),
        (JOINT, None),
    ],
    ids=["version 2", "version 1", "native", "joint"],
)
def test_an_onnx_file_gives_the_models_images_for_any_batch(tmp_path, architecture, window):
    save(tmp_path / "model", architecture, window=window)
    file = tmp_path / "program.onnx"
    main(["export", str(tmp_path / "model"), str(file), "--size", "32x48"])
    session = onnxruntime.InferenceSession(file)
    assert session.get_modelmeta().description == "CC BY 4.0"
    loaded = models.load(tmp_path / "model")
    for batch in (1, 3):
        images = np.random.default_rng(batch).random((batch, 32, 48, 3), np.float32)
        (deblurred,) = session.run(None, {"images": images})
        np.testing.assert_allclose(deblurred, loaded.deblur(images), atol=1e-5)


def test_an_operation_without_onnx_translation_is_named():
    with pytest.raises(NotImplementedError, match="no translation of erf to ONNX"):
        onnx_graph.translate(jax.scipy.special.erf, (2, 3), ("x", "y"), "")


@pytest.mark.parametrize(("suffix", "package"), [(".onnx", "onnx"), (".stablehlo", "flatbuffers")])
def test_a_missing_package_is_named(tmp_path, source, monkeypatch, suffix, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"a \{suffix} file needs {package}: pip install 'msdi_jax\[export\]'"
    with pytest.raises(ValueError, match=message):
        export.export_program(source, tmp_path / f"out{suffix}", 32, 32)
    assert not any(tmp_path.iterdir())


def test_folding_leaves_no_spectral_layer_and_the_model_unchanged(source):
    network = models.load(source).network
    folded = export.fold_spectral_norm(network)
    kinds = [type(layer) for _, layer in nnx.iter_graph(folded)]
    assert layers.SpectralConv not in kinds
    assert layers.SpectralConv in [type(layer) for _, layer in nnx.iter_graph(network)]


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("out.tflite", "256x256", r"out\.tflite cannot be written: name a file that ends in \.pth"),
        ("out", "256x256", r"\.stablehlo or \.onnx"),
        ("out.stablehlo", "256", "--size 256 must be HEIGHTxWIDTH"),
        ("out.stablehlo", "100x64", "multiples of 16"),
        ("out.onnx", "100x64", "multiples of 16"),
        ("gone/out.stablehlo", "64x64", "give a file in an existing folder"),
    ],
)
def test_impossible_exports_are_refused(tmp_path, source, name, size, message):
    with pytest.raises(SystemExit, match=message):
        main(["export", str(source), str(tmp_path / name), "--size", size])
    assert not any(tmp_path.iterdir())


def test_models_that_do_not_deblur_are_refused(tmp_path):
    save(tmp_path / "discriminator", Architecture("discriminator", 2))
    with pytest.raises(ValueError, match="discriminator model, which does not deblur"):
        export.export_program(tmp_path / "discriminator", tmp_path / "out.stablehlo", 64, 64)
