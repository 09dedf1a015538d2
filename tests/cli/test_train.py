"""The train command up to the run, which tests/training/test_run.py checks."""

import shlex
import signal
from pathlib import Path

import pytest

from msdi_jax.cli.main import main
from msdi_jax.runtime import processes
from msdi_jax.training import loop, run, run_directory


@pytest.fixture
def runs(monkeypatch):
    """Calls of `training.run`, which is replaced; SIGTERM is restored."""
    calls = []
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(run, "run", lambda *arguments: calls.append(arguments))
    yield calls
    signal.signal(signal.SIGTERM, before)


def ending(monkeypatch, error):
    def end(*_):
        raise error

    monkeypatch.setattr(run, "run", end)


def test_configuration_and_processes_reach_the_run(runs, monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(processes, "start", lambda *arguments: started.append(arguments))
    hosts = ["--coordinator=a:1", "--num_processes=2", "--process_id=1"]
    main(["train", "--config=quickstart", f"--workdir={tmp_path}", "--config.width=16", *hosts])
    ((config, workdir),) = runs
    assert config.width == 16
    assert workdir == Path(tmp_path)
    assert started == [("a:1", 1, 2)]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("width=-1"), "error: width=-1$"),
        (OSError("disk full"), r"error: disk full \(in w\): fix that and repeat the command"),
        (KeyboardInterrupt(), "stopped: the same command resumes from the last checkpoint"),
    ],
)
def test_errors_are_messages(runs, monkeypatch, error, message):
    ending(monkeypatch, error)
    with pytest.raises(SystemExit, match=message):
        main(["train", "--config=quickstart", "--workdir=w"])


def test_the_command_of_a_new_run_keeps_all_other_options(runs, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "start", lambda *arguments: None)
    new = run_directory.NextRun("train on", tmp_path / "a b", {"deblur.steps": 7})
    ending(monkeypatch, run_directory.MoreStepsError("w is shorter", [new]))
    kept = ["--config.width=16", "--config.stages=('deblur',)"]
    changed = [kept[0], "--config.deblur.steps=9", kept[1]]
    with pytest.raises(SystemExit) as error:
        main(["train", "--config=quickstart", "--workdir=~/w", *changed, "--coordinator=a:1"])
    reason, purpose, command = str(error.value).splitlines()
    assert (reason, purpose) == ("error: w is shorter", "train on:")
    where = ["msdi", "train", "--config=quickstart", f"--workdir={tmp_path}/a b"]
    assert shlex.split(command) == [*where, *kept, "--config.deblur.steps=7", "--coordinator=a:1"]


def test_the_run_directory_may_be_in_the_home_directory(runs, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    main(["train", "--config=quickstart", "--workdir=~/w"])
    assert runs[0][1] == tmp_path / "w"


def test_an_interrupted_run_names_its_step(runs, monkeypatch, capsys):
    ending(monkeypatch, loop.Interrupted(7))
    main(["train", "--config=quickstart", "--workdir=w"])
    assert capsys.readouterr().out == "saved at step 7: resume with the same command\n"


def test_sigterm_outside_of_the_loop_is_a_stop(runs, monkeypatch):
    monkeypatch.setattr(run, "run", lambda *_: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit, match="stopped: the same command resumes"):
        main(["train", "--config=quickstart", "--workdir=w"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=quickstart"], "required: --workdir"),
        (["--workdir=w"], "required: --config"),
        (["--config=quickstart", "--workdir=w", "--bogus=1"], "unrecognized arguments: --bogus=1"),
        (["--config=quickstart", "--workdir=w", "--conifg.width=1"], "--conifg.width=1"),
        (["--config=quickstart", "--workdir=w", "--config.width", "1"], "arguments: 1"),
        (["--config=quickstart", "--workdir=w", "--process_id=a"], "invalid int value: 'a'"),
    ],
)
def test_usage_errors(runs, arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(["train", *arguments])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
    assert not runs


def test_an_unusable_configuration_is_refused_before_the_run(runs):
    with pytest.raises(SystemExit, match=r"^error: --config\.width=wide must be an integer"):
        main(["train", "--config=quickstart", "--workdir=w", "--config.width=wide"])
    assert not runs


def test_help_config(capsys):
    with pytest.raises(SystemExit) as error:
        main(["train", "--help-config"])
    assert not error.value.code
    assert "deblur.checkpoint_every" in capsys.readouterr().out
    with pytest.raises(SystemExit) as error:
        main(["train", "--help-config", "quikstart"])
    assert error.value.code == 1
    assert "quikstart" in capsys.readouterr().err
