"""Options that are paths expand `~`."""

import argparse
import getpass
from pathlib import Path

import pytest

from msdi_jax.cli.paths import path


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
