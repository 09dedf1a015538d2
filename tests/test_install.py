"""The wheel: it holds the whole project, and runs next to a project with its own data/."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import wheels
from tests.data import miniatures
from tests.wheels import PACKAGES, ROOT, succeed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return wheels.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Environment in which the wheel comes before every other installation."""
    target = tmp_path_factory.mktemp("site")
    wheels.install(wheel, target)
    return os.environ | {"PYTHONPATH": str(target)}


@pytest.fixture
def project(tmp_path):
    """Folder of another project, with packages called data and configs."""
    for name in ("data", "configs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('of another project')\n")
    return tmp_path


def test_the_wheel_holds_every_file(wheel):
    files = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in PACKAGES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    held = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in held if name.split("/")[0].endswith(".dist-info")}
    assert held - metadata == files
    assert {"msdi_jax/py.typed", "msdi_jax/models/bundled/model/arrays.npz"} <= files


def test_it_is_the_installed_package_that_runs(installed, project):
    program = (
        "import msdi_jax, msdi_jax.data, msdi_jax.configs as c;"
        "print(msdi_jax.__file__, msdi_jax.data.__file__, c.__file__, sep='\\n')"
    )
    paths = succeed([sys.executable, "-c", program], cwd=project, env=installed).splitlines()
    assert len(paths) == 3
    assert all(path.startswith(installed["PYTHONPATH"]) for path in paths)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--version"], "msdi 0."),
        (["--help"], "deblur"),
        (["train", "--help-config"], "deblur.checkpoint_every"),
        (["summary", "{bundled}"], "parameters"),
    ],
)
def test_commands_run_next_to_another_data_package(installed, project, arguments, text):
    script = Path(installed["PYTHONPATH"]) / "bin" / "msdi"
    bundled = Path(installed["PYTHONPATH"]) / "msdi_jax" / "models" / "bundled" / "model"
    command = [script, *(argument.format(bundled=bundled) for argument in arguments)]
    assert text in succeed(command, cwd=project, env=installed)


def test_the_package_runs_as_a_module(installed, project):
    command = [sys.executable, "-m", "msdi_jax", "--help"]
    assert "usage: msdi" in succeed(command, cwd=project, env=installed)


def test_prepare_and_a_configuration_by_name(installed, project):
    miniatures.pairs(project / "mine")
    run = {"cwd": project, "env": installed}
    script = Path(installed["PYTHONPATH"]) / "bin" / "msdi"
    assert "evaluate:  --dataset pairs" in succeed(
        [script, "prepare", "pairs", "--from=mine"], **run
    )
    train = [script, "train", "--config=finetune", "--workdir=run", "--config.seed=1"]
    refused = subprocess.run(train, capture_output=True, text=True, **run)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert "start_from" in refused.stderr
    assert not (project / "run").exists()
