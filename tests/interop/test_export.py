"""Export to .stablehlo and .onnx: the file gives the same images as the model."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from flax import nnx
from jax import export as jax_export
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.interop import export, onnx_translation
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


NAFNET = Architecture("nafnet", 8, blocks=(1, 1, 1))
SIZES = [(64, 64), (48, 80)]


@pytest.fixture(scope="module", params=["native", "joint", "nafnet"])
def any_size(request, tmp_path_factory):
    """A model and its programs for any size."""
    architecture, window = {"native": (OWN, 24), "joint": (JOINT, None), "nafnet": (NAFNET, 24)}[
        request.param
    ]
    folder = tmp_path_factory.mktemp("any size")
    source = save(folder / "model", architecture, window=window)
    for suffix in export.FORMATS:
        main(["export", str(source), str(folder / f"program{suffix}"), "--size", "any"])
    return source, folder / "program"


def test_programs_for_any_size_give_the_models_images(any_size):
    source, program = any_size
    loaded = models.load(source)
    stablehlo = jax_export.deserialize(program.with_suffix(".stablehlo").read_bytes())
    session = onnxruntime.InferenceSession(program.with_suffix(".onnx"))
    for batch, size in enumerate(SIZES, 1):
        images = np.random.default_rng(batch).random((batch, *size, 3), np.float32)
        expected = loaded.deblur(images)
        np.testing.assert_allclose(stablehlo.call(images), expected, atol=1e-5)
        (deblurred,) = session.run(None, {"images": images})
        np.testing.assert_allclose(deblurred, expected, atol=1e-5)


def test_programs_for_any_size_refuse_sides_that_are_not_multiples(any_size):
    _, program = any_size
    images = np.zeros((1, 64, 72, 3), np.float32)
    stablehlo = jax_export.deserialize(program.with_suffix(".stablehlo").read_bytes())
    with pytest.raises(ValueError, match="Division had remainder 8"):
        stablehlo.call(images)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(program.with_suffix(".onnx"), options)
    with pytest.raises(Fail, match="Reshape"):
        session.run(None, {"images": images})


def test_an_onnx_file_loads_without_warnings_and_moves_no_axes(tmp_path, capfd):
    """Convolutions and norms keep ONNX's order of axes: five transposes for 100 layers."""
    save(tmp_path / "model", OWN, window=24)
    export.export_program(tmp_path / "model", tmp_path / "program.onnx", (64, 64))
    onnxruntime.InferenceSession(tmp_path / "program.onnx")
    assert capfd.readouterr().err == ""
    nodes = [node.op_type for node in onnx.load(tmp_path / "program.onnx").graph.node]
    assert len(nodes) < 900
    assert nodes.count("Transpose") <= 6
    assert nodes.count("Reshape") == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.cumsum(x, 1) % 3 + jnp.sign(x) * (x != 2.5),
        lambda x: x[:, x.shape[1] - 1 - jnp.arange(x.shape[1])] * x.shape[1],
        lambda x: x.reshape(x.shape[0], -1, 2, 3).transpose(0, 2, 1, 3).reshape(x.shape[0], -1),
        lambda x: jnp.einsum("bhc,hk->bkc", x, jnp.ones((x.shape[1], 4))),
        lambda x: x[:, : (x.shape[1] + 4) // 7 + max(0, 2)] + (-x.shape[1] // 5),
    ],
    ids=["arithmetic", "gather", "reshape", "product", "sizes"],
)
def test_functions_of_symbolic_sizes(tmp_path, function):
    batch, length = jax_export.symbolic_shape("b, 2*h")
    model = onnx_translation.translate(function, (batch, length, 3), ("x", "y"), "")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for shape in ((1, 6, 3), (2, 14, 3)):
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        (y,) = session.run(None, {"x": x})
        np.testing.assert_allclose(y, function(jnp.asarray(x)), rtol=1e-5, atol=1e-6)


def test_an_operation_without_onnx_translation_is_named():
    with pytest.raises(NotImplementedError, match="no translation of erf to ONNX"):
        onnx_translation.translate(jax.scipy.special.erf, (2, 3), ("x", "y"), "")


@pytest.mark.parametrize(("suffix", "package"), [(".onnx", "onnx"), (".stablehlo", "flatbuffers")])
def test_a_missing_package_is_named(tmp_path, source, monkeypatch, suffix, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"a \{suffix} file needs {package}: pip install 'msdi_jax\[export\]'"
    with pytest.raises(ValueError, match=message):
        export.export_program(source, tmp_path / f"out{suffix}", (32, 32))
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
        ("out.stablehlo", "256", "--size 256 must be HEIGHTxWIDTH in pixels, .* or any"),
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
        export.export_program(tmp_path / "discriminator", tmp_path / "out.stablehlo")
