"""Configurations by name and by path, their variants, and --config.FIELD=VALUE."""

import re

import pytest

from msdi_jax.cli import experiment
from msdi_jax.configs import ablation, quickstart

SMALL = """
from ml_collections import ConfigDict

def get_config():
    return ConfigDict({"width": 4, "inner": {"rate": 0.1, "name": "a", "on": False, "at": (1, 2)}})
"""


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "mine.py"
        path.write_text(content)
        return str(path)

    return write


def test_a_shipped_configuration_by_name_and_by_path():
    expected = quickstart.get_config().to_dict()
    assert experiment.load("quickstart").to_dict() == expected
    assert experiment.load(quickstart.__file__).to_dict() == expected


def test_a_variant_by_name_and_by_path():
    expected = ablation.get_config("no_degradation").to_dict()
    assert experiment.load("ablation:no_degradation").to_dict() == expected
    assert experiment.load(f"{ablation.__file__}:no_degradation").to_dict() == expected
    assert experiment.load("ablation").to_dict() == ablation.get_config().to_dict() != expected


def test_a_configuration_is_locked(file):
    with pytest.raises(AttributeError):
        experiment.load(file(SMALL)).widht = 3


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("width=-8", {"width": -8}),
        ("inner.rate=1", {"rate": 1.0}),
        ("inner.rate=1e-4", {"rate": 1e-4}),
        ("inner.name=a=b", {"name": "a=b"}),
        ("inner.name=", {"name": ""}),
        ("inner.name=3", {"name": "3"}),
        ("inner.on=true", {"on": True}),
        ("inner.on=False", {"on": False}),
        ("inner.at=(3,)", {"at": (3,)}),
        ("inner.at=[]", {"at": ()}),
        ("inner.at=3", {"at": (3,)}),
        ("inner.at=deblur", {"at": ("deblur",)}),
        ("inner.at=('reblur', 'deblur')", {"at": ("reblur", "deblur")}),
    ],
)
def test_fields_take_values_of_their_type(file, override, expected):
    config = experiment.load(file(SMALL), [f"--config.{override}"])
    values = {**config.to_dict(), **config.inner.to_dict()}
    for field, value in expected.items():
        assert values[field] == value
        assert type(values[field]) is type(value)


def test_an_empty_field_keeps_its_type():
    config = experiment.load("quickstart", ["--config.evaluation.window=64"])
    assert config.evaluation.window == 64
    with pytest.raises(ValueError, match=r"--config\.evaluation\.window=big must be an integer"):
        experiment.load("quickstart", ["--config.evaluation.window=big"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("width=abc", "--config.width=abc must be an integer"),
        ("width=2.5", "--config.width=2.5 must be an integer"),
        ("inner.rate=fast", "--config.inner.rate=fast must be a number"),
        ("inner.on=maybe", "--config.inner.on=maybe must be true or false"),
        ("inner.at=(1", "--config.inner.at=(1 must be a tuple"),
        ("inner.at=a b", "--config.inner.at=a b must be a tuple"),
        ("width", "--config.width has no value: write --config.width=VALUE"),
        ("inner=1", "--config.inner is a group of fields: set one, like --config.inner.at=VALUE"),
        ("inner.rat=1", "--config.inner.rat"),
        ("inner.rate.x=1", "--config.inner.rate.x"),
        ("other.x=1", "--config.other.x"),
        ("=1", "--config."),
    ],
)
def test_other_values_and_fields_are_refused_by_their_path(file, override, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        experiment.load(file(SMALL), [f"--config.{override}"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "quikstart",
            "there is no configuration 'quikstart': give a .py file, or one of a",
        ),
        ("nowhere/mine.py", "--config nowhere/mine.py does not exist: give a .py file, or one of"),
        ("configs", "there is no configuration 'configs'"),
        ("quickstart:wide", "--config quickstart: leave out what follows the colon"),
        ("ablation:wide", "'wide'"),
        ("", "there is no configuration ''"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        experiment.load(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1", r"mine\.py has no function get_config: give a \.py file, or one of ablation"),
        ("def get_config(:", r"mine\.py fails: SyntaxError: .*mine\.py, line 1\)"),
        ("import nothing_here", r"mine\.py fails: ModuleNotFoundError: .*nothing_here.*line 1\)"),
        ("def get_config():\n    return 1 / 0", r"fails: ZeroDivisionError: .*mine\.py, line 2\)"),
        ("def get_config():\n    pass", r"get_config of .*mine\.py must return a ConfigDict"),
        ("def get_config(name):\n    pass", r"--config .*mine\.py: give .*mine\.py:VARIANT"),
    ],
)
def test_files_that_define_no_configuration_are_refused(file, content, message):
    with pytest.raises(ValueError, match=message):
        experiment.load(file(content))


def test_a_file_that_is_not_python_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("width: 8")
    with pytest.raises(ValueError, match=r"config\.yaml is not a Python file"):
        experiment.load(str(tmp_path / "config.yaml"))
