"""--ensemble and --window: the options override the settings of the model."""

import dataclasses
import re

import jax
import numpy as np
import pytest
from jax import export

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.networks.functional import abstract
from msdi_jax.restoration import bounded_memory, image_io, restore
from tests.small_networks import draw_arrays, small_network

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    architecture = models.Architecture("msdi_net", 2, depth=2, patch=2)
    description = models.Description(architecture, {}, "", window=32, orientations=2)
    network = draw_arrays(abstract(description.architecture.build))
    path = tmp_path_factory.mktemp("usage") / "model"
    models.save(path, network, description)
    return path


def test_compact_records_the_options(saved, tmp_path):
    def compacted(*options):
        main(["compact", str(saved), str(tmp_path / "out"), *options])
        description = models.read_description(tmp_path / "out")
        return description.window, description.orientations

    assert compacted() == (32, 2)
    assert compacted("--window=64") == (64, 2)
    assert compacted("--window=0", "--ensemble=1") == (None, 1)
    assert compacted("--ensemble") == (32, 8)


@pytest.mark.parametrize(("options", "orientations"), [([], 2), (["--ensemble=1"], 1)])
@pytest.mark.parametrize("restoration", [[], ["--restore=whole"]])
def test_photographs_are_restored_in_the_given_orientations(
    saved, tmp_path, options, orientations, restoration
):
    photograph = RNG.integers(0, 256, (32, 48, 3), np.uint8)
    image_io.write(tmp_path / "in.png", photograph)
    files = [f"--input={tmp_path / 'in.png'}", f"--output={tmp_path / 'out.png'}"]
    main(["deblur", f"--model={saved}", *files, *options, *restoration])
    ours, other = (
        models.load(saved).using(orientations=n) for n in (orientations, 3 - orientations)
    )
    restored = image_io.to_unit(image_io.read(tmp_path / "out.png"))
    expected = restore.whole(ours.deblur, image_io.to_unit(photograph))
    np.testing.assert_allclose(restored, expected, atol=0.6 / 255)
    different = restore.whole(other.deblur, image_io.to_unit(photograph))
    assert np.abs(restored - different).max() > 4 / 255


def test_deblur_in_python_averages_orientations(saved):
    network = models.load(saved)
    image = RNG.random((1, 32, 48, 3), np.float32)
    one = network(image).deblurred
    assert np.abs(network.deblur(image) - one).max() > 1e-3
    expected = (one + network(image[:, ::-1]).deblurred[:, ::-1]) / 2
    np.testing.assert_allclose(network.deblur(image), expected, atol=1e-6)
    np.testing.assert_allclose(bounded_memory.BoundedRestorer(network)(image), expected, atol=1e-5)
    np.testing.assert_array_equal(network.using(orientations=1).deblur(image), one)


def test_using_returns_another_model(saved):
    loaded = models.load(saved)
    assert loaded.using(orientations=4).description.orientations == 4
    assert loaded.description.orientations == 2
    assert (
        models.average([loaded, loaded.using(orientations=1, window=None)]).description.window == 32
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A model of a published architecture; tests write its usage."""
    architecture = models.Architecture("msdi_net", 2)
    path = tmp_path_factory.mktemp("published") / "model"
    models.save(path, small_network(architecture), models.Description(architecture, {}, ""))
    return path


@pytest.mark.parametrize(
    ("usage", "message"),
    [
        ({"window": 64, "orientations": 1}, "give --window 64 to"),
        ({"window": None, "orientations": 2}, "give --ensemble 2 to"),
        ({"window": 64, "orientations": 2}, "give --ensemble 2 --window 64 to"),
        ({"window": None, "orientations": 1}, None),
    ],
)
def test_export_to_pytorch_prints_the_options(published, tmp_path, capsys, usage, message):
    description = dataclasses.replace(models.read_description(published), **usage)
    (published / "model.json").write_text(description.to_json())
    main(["export", str(published), str(tmp_path / "out.pth")])
    out = capsys.readouterr().out
    assert message in out if message else "how the model is used" not in out


def test_an_exported_program_is_one_pass(saved, tmp_path, capsys):
    main(["export", str(saved), str(tmp_path / "out.stablehlo"), "--size=32x32"])
    assert "one pass: the model is used as the mean of 2 orientations" in capsys.readouterr().out


def test_products_are_float32_by_default(saved, tmp_path):
    """GPUs and TPUs have faster products of fewer digits."""
    network = models.load(saved)
    image = np.zeros((1, 32, 32, 3), np.float32)

    def precisions(program):
        return set(re.findall(r"precision = \[(\w+)", program.as_text()))

    assert precisions(network._call.lower(network._arrays, image)) == {"HIGHEST"}
    main(["export", str(saved), str(tmp_path / "out.stablehlo"), "--size=32x32"])
    program = export.deserialize((tmp_path / "out.stablehlo").read_bytes())
    assert set(re.findall(r"precision = \[(\w+)", program.mlir_module())) == {"HIGHEST"}
    # Fewer digits on request.
    with jax.default_matmul_precision("tensorfloat32"):
        assert "HIGH" in precisions(models.load(saved)._call.lower(network._arrays, image))


@pytest.mark.parametrize("window", [15, -16])
def test_small_windows_are_refused(saved, tmp_path, window):
    with pytest.raises(SystemExit, match=rf"--window={window} px is too small: give at least 16"):
        main(["compact", str(saved), str(tmp_path / "out"), f"--window={window}"])
    assert not (tmp_path / "out").exists()


def test_options_need_a_network_that_deblurs(tmp_path):
    description = models.Description(models.Architecture("discriminator", 2), {}, "")
    network = draw_arrays(abstract(description.architecture.build))
    models.save(tmp_path / "model", network, description)
    main(["compact", str(tmp_path / "model"), str(tmp_path / "plain")])
    with pytest.raises(
        SystemExit, match="a discriminator model does not deblur: leave out --ensemble and --window"
    ):
        main(
            ["compact", str(tmp_path / "model"), str(tmp_path / "out"), "--ensemble", "--window=0"]
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("orientations", 3, r"orientations 3 must be one of \(1, 2, 4, 8\)"),
        ("window", 7, "window=7 px is too small"),
    ],
)
def test_a_model_with_an_invalid_option_is_refused(saved, tmp_path, field, value, message):
    description = dataclasses.replace(models.read_description(saved), **{field: value})
    models.save(tmp_path / "model", models.load(saved).network, description)
    with pytest.raises(ValueError, match=rf"model\.json is damaged: {message}"):
        models.read_description(tmp_path / "model")
