"""The msdi command: its list of commands, its usage errors, and `deblur`."""

import argparse
import importlib
import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

import msdi_jax
from msdi_jax import models
from msdi_jax.cli.main import MODULES, main
from tests.small_networks import SMALL, small_network


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "model"
    models.save(path, small_network(), models.Description(SMALL, {}, "none"))
    return path


@pytest.fixture
def photograph(tmp_path):
    """A 37×51 image file."""
    x = np.random.default_rng(0).integers(64, 192, (37, 51, 3), dtype=np.uint8)
    Image.fromarray(x).save(tmp_path / "photograph.png")
    return tmp_path / "photograph.png"


def read(path):
    return np.asarray(Image.open(path))


def test_deblur(tmp_path, photograph, model_directory, monkeypatch, capsys):
    loaded, load = [], models.load
    monkeypatch.setattr(models, "load", lambda path: loaded.append(load(path)) or loaded[-1])
    output = tmp_path / "sharp.png"
    main(["deblur", f"--model={model_directory}", f"--input={photograph}", f"--output={output}"])
    assert capsys.readouterr().out.splitlines()[-1] == str(output)
    assert {p.name for p in tmp_path.iterdir()} == {"photograph.png", "sharp.png"}

    x = read(photograph)
    x = np.pad(x, ((0, 48 - 37), (0, 64 - 51), (0, 0)), mode="reflect").astype(np.float32) / 255
    expected = np.asarray(loaded[0](x[None]).deblurred)[0, :37, :51]
    restored = read(output)
    np.testing.assert_array_equal(restored, np.round(255 * np.clip(expected, 0, 1)))
    assert np.abs(restored - read(photograph).astype(float)).max() > 3


@pytest.mark.parametrize(("restoration", "size"), [("whole", (48, 64)), ("grid", (256, 256))])
def test_restoration_modes(tmp_path, photograph, monkeypatch, restoration, size):
    """A model that inverts records the shapes that it restores."""
    shapes = []

    def invert(x):
        shapes.append(x.shape)
        return 1 - x

    description = models.Description(SMALL, {}, "")
    loaded = SimpleNamespace(deblur=invert, description=description, architecture=SMALL)
    monkeypatch.setattr(models, "load", lambda path: loaded)
    output = tmp_path / "sharp.png"
    paths = [f"--input={photograph}", f"--output={output}"]
    main(["deblur", "--model=any", *paths, f"--restore={restoration}"])
    assert shapes == [(1, *size, 3)]
    np.testing.assert_array_equal(read(output), 255 - read(photograph))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "no_model"}, r"no_model is not a model directory"),
        ({"model": "damaged"}, r"damaged/model\.json is damaged"),
        ({"input": "gone.png"}, r"gone\.png does not exist"),
        ({"input": "damaged/model.json"}, r"damaged/model\.json cannot be read as an image"),
        ({"output": "sharp.gif"}, r"sharp\.gif: the name must end in one of"),
        ({"output": "gone/sharp.png"}, r"gone/sharp\.png: the folder .*gone does not exist"),
    ],
    ids=lambda x: "" if isinstance(x, str) else "=".join(*x.items()),
)
def test_refusals_name_the_path_and_write_nothing(
    tmp_path, photograph, model_directory, monkeypatch, capsys, changes, message
):
    (tmp_path / "no_model").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "model.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    paths = {"model": str(model_directory), "input": str(photograph), "output": "sharp.png"}
    arguments = [f"--{name}={path}" for name, path in (paths | changes).items()]
    # SystemExit with a message prints it and exits with status 1.
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        main(["deblur", *arguments])
    assert sorted(tmp_path.rglob("*")) == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sharpen"],
        ["deblur", "--model=m", "--input=a.png"],
        ["summary", "model", "--config.width=8"],
        ["deblur", "--model=m", "--input=a.png", "--output=b.png", "--restore=tiles"],
    ],
    ids=" ".join,
)
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "usage: msdi" in capsys.readouterr().err


@pytest.mark.parametrize("module", MODULES)
def test_modules_add_the_commands_that_are_listed(module):
    commands = argparse.ArgumentParser().add_subparsers()
    importlib.import_module(f"msdi_jax.cli.{module}").add_to(commands)
    assert list(commands.choices) == list(MODULES[module])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"]])
def test_help_does_not_load_jax(arguments):
    program = (
        "import sys\n"
        "from msdi_jax.cli.main import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "finally:\n"
        "    assert 'jax' not in sys.modules\n"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    assert len(printed.stdout.splitlines()) < 40


@pytest.mark.parametrize(
    ("platform", "command"),
    [
        ("tpu", "summary bundled"),
        ("cuda", "deblur --input={photograph} --output=out.png"),
        ("cuda", "train --config=quickstart --workdir=run"),
    ],
)
def test_a_platform_without_devices_is_one_line(
    tmp_path, photograph, monkeypatch, platform, command
):
    if jax.default_backend() != "cpu":
        pytest.skip("this computer has a GPU or a TPU")
    arguments = command.format(photograph=photograph).split()
    refused = subprocess.run(
        [sys.executable, "-m", "msdi_jax", *arguments],
        cwd=tmp_path,
        env=os.environ | {"JAX_PLATFORMS": platform},
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    (line,) = (line for line in refused.stderr.splitlines() if "error" in line.lower())
    assert line.startswith(f"error: JAX_PLATFORMS={platform}, but JAX finds no such device: unset")
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "run").exists()


def test_the_public_names_are_there():
    assert {*msdi_jax.__all__, "__version__"} <= set(dir(msdi_jax))
    assert all(getattr(msdi_jax, name).__module__ for name in msdi_jax.__all__ if name != "BUNDLED")
    assert (msdi_jax.BUNDLED / "model" / "model.json").exists()
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = msdi_jax.Nothing
