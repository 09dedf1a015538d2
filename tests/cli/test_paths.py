"""Options that are paths expand `~`."""

import argparse
import getpass
import importlib
import inspect
import re
from pathlib import Path

import pytest

from msdi_jax.cli import experiment
from msdi_jax.cli.main import MODULES, main
from msdi_jax.cli.paths import path
from msdi_jax.configs import base, quickstart
from msdi_jax.runtime import config_fields
from tests.evaluated_folders import evaluated


def test_home_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/homes/ada")
    assert path("~") == Path("/homes/ada")
    assert path("~/run/a~b") == Path("/homes/ada/run/a~b")
    assert path("run/~") == Path("run/~")


def test_users_are_expanded_and_unknown_ones_are_not():
    assert path(f"~{getpass.getuser()}/x") == Path(f"~{getpass.getuser()}/x").expanduser()
    assert path("~$report.png") == Path("~$report.png")


def test_an_empty_path_is_refused():
    with pytest.raises(argparse.ArgumentTypeError, match="empty"):
        path("")


SOURCE = inspect.getsource(base)
TEMPLATES = "--blurry-template", "--sharp-template"
# Options with a value that is no path.
VALUES = {
    "deblur": {"--format", "--restore", "--memory"},
    "train": {"--config", "--help-config", "--coordinator"},
    "evaluate": {
        "--dataset",
        "--split",
        "--protocol",
        "--restore",
        *TEMPLATES,
        "--outputs-template",
    },
    "table": {"--format", "--dataset"},
    "convert": {"--key"},
    "prepare": {"name", "--blur", *TEMPLATES},
    "export": {"--size"},
    "compile": {"--config", "--target", "--stage", "--size"},
    "compact": {"--licence"},
}


def parsers(command):
    """The parser of a command, or those of its actions."""
    commands = argparse.ArgumentParser().add_subparsers()
    module = next(name for name, lines in MODULES.items() if command in lines)
    importlib.import_module(f"msdi_jax.cli.{module}").add_to(commands)
    parser = commands.choices[command]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return list(action.choices.values())
    return [parser]


@pytest.mark.parametrize("command", [name for lines in MODULES.values() for name in lines])
def test_every_option_that_is_text_is_a_path_or_known_to_be_none(command):
    """A new option is a path of type `paths.path`, or is listed above."""
    takes_text = {
        (action.option_strings or [action.dest])[0]
        for parser in parsers(command)
        for action in parser._actions
        if action.type is None and action.nargs != 0
    }
    assert takes_text == VALUES.get(command, set())


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_run_with_a_label_is_found(home, capsys):
    evaluated(home / "run", 33.0)
    main(["table", "ours=~/run"])
    assert "| ours |" in capsys.readouterr().out


def test_fields_of_a_configuration_are_expanded(home):
    (home / "mine.py").write_text(f"from {quickstart.__name__} import get_config\n")
    values = [f"--config.{field}=~/x" for field in ("dataset.directory", "deblur.start_from")]
    config = experiment.load("~/mine.py", [*values, "--config.reblur.vgg_weights=~/x"])
    assert config.dataset.directory == config.deblur.start_from == f"{home}/x"
    assert config.reblur.vgg_weights == f"{home}/x"
    assert config.deblur.features_from == ""
    assert config.dataset.photographs is None


def test_every_field_described_as_a_place_is_expanded():
    """In the comments of configs/base.py, places are called by these words."""
    place = re.compile(r"\b(Folder|File|Root of|Model or run directory)\b")
    config = base.get_config().to_dict()
    for dataset in (config["dataset"], base.paired("pairs").to_dict()):
        for field in config_fields.flattened(config | {"dataset": dataset}):
            name = field.split(".")[-1]
            comments = re.findall(rf'((?:^ *#.*\n)+) *"?(?:dataset\.)?{name}\b', SOURCE, re.M)
            assert any(map(place.search, comments)) == (field in config_fields.PATHS), field
