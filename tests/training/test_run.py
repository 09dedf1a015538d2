"""The shipped quickstart, shrunk, from end to end through launch.py."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import skimage.data
from PIL import Image

from msdi_jax import load
from msdi_jax.cli.main import main
from msdi_jax.configs import quickstart
from msdi_jax.evaluation import results_file
from msdi_jax.models import DIRECTORIES, read_description
from msdi_jax.networks.functional import arrays_of
from msdi_jax.runtime import directory_lock
from msdi_jax.training import run, run_directory
from msdi_jax.training.loop import Interrupted

ROOT = Path(__file__).parents[2]
SHRUNK = [
    "--config.width=2",
    "--config.dataset.train_pairs=2",
    "--config.dataset.longest_side=288",
    "--config.dataset.test_pairs=1",
    "--config.reblur.depth=2",
    "--config.deblur.depth=3",
    *(
        f"--config.{stage}.{field}={value}"
        for stage in ("reblur", "deblur")
        for field, value in {
            "steps": 6,
            "schedule_steps": 8,
            "batch_size": 2,
            "crop": 32,
            "log_every": 1,
            "val_every": 3,
            "val_images": 2,
            "checkpoint_every": 2,
        }.items()
    ),
]


def command(workdir, prepared, *extra):
    return [
        sys.executable,
        "launch.py",
        "--config=configs/quickstart.py",
        f"--workdir={workdir}",
        f"--config.dataset.directory={prepared}",
        f"--config.dataset.photographs={prepared}/photographs",
        *SHRUNK,
        *extra,
    ]


def launch(workdir, prepared, *extra):
    arguments = command(workdir, prepared, *extra)
    return subprocess.run(arguments, capture_output=True, timeout=900, cwd=ROOT, text=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Photographs of one size, so that evaluation compiles for one only."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "photographs").mkdir()
    for name in ("astronaut", "coffee", "rocket"):
        picture = getattr(skimage.data, name)()[:390, :390]
        Image.fromarray(picture).save(folder / "photographs" / f"{name}.png")
    return folder


# The discriminator takes longest to compile; a slow test trains with it.
ALONE = "--config.reblur.adversarial=False"


def interrupt_and_repeat(workdir, prepared, *extra):
    """What a run that was interrupted in stage 1 printed, its exit code, and the repeated run."""
    process = subprocess.Popen(
        command(workdir, prepared, *extra), stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("reblur 2/6"):
            process.send_signal(signal.SIGINT)
            break
    printed += process.stdout.read()
    code = process.wait(timeout=600)
    return printed, code, launch(workdir, prepared, *extra)


@pytest.fixture(scope="module")
def interrupted_run(tmp_path_factory, prepared):
    """A run that was interrupted in stage 1 and then repeated; with what both printed."""
    workdir = tmp_path_factory.mktemp("runs") / "interrupted"
    return workdir, *interrupt_and_repeat(workdir, prepared, ALONE)


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_interrupting_and_repeating_continues(interrupted_run):
    workdir, printed, code, repeated = interrupted_run
    assert code == 0
    assert (saved := re.search(r"saved at step (\d): resume with the same command", printed))
    assert 2 <= int(saved[1]) < 6
    assert repeated.returncode == 0, repeated.stderr
    assert f"resuming from step {saved[1]}" in repeated.stdout
    for stage in ("reblur", "deblur"):
        steps = [
            r["step"] for r in rows(workdir) if r["stage"] == stage and "learning_rate" in str(r)
        ]
        assert steps == [1, 2, 3, 4, 5, 6]


def test_run_directory(interrupted_run):
    workdir = interrupted_run[0]
    for name in ("config.json", "report.html", "model/model.json", "model-reblur/model.json"):
        assert (workdir / name).stat().st_size > 100, name
    assert list((workdir / "events").glob("*/*tfevents*"))
    found, per_image = results_file.read(workdir), results_file.read_rows(workdir).values()
    assert found.settings.images == len(per_image) >= 1
    for metric in ("psnr", "ssim_3d", "ssim"):
        for kind in ("blurry", "deblurred", "reblurred"):
            values = [row[f"{metric}_{kind}"] for row in per_image]
            assert found.means[f"{metric}_{kind}"] == pytest.approx(np.mean(values))
    for stage in ("reblur", "deblur"):
        ends = found.val_losses[stage]
        assert ends["initial"]["loss"] != ends["final"]["loss"]
    assert found.samples
    for name in found.samples:
        row = Image.open(workdir / "samples" / f"{name}-row.png")
        single = Image.open(workdir / "samples" / f"{name}-blurry.png")
        assert row.size == (3 * single.width, single.height)


def test_evaluate_repeats_the_figures_of_the_run(interrupted_run, tmp_path):
    """On the run's own set, of which the command is given nothing."""
    main(["evaluate", f"--model={interrupted_run[0]}", f"--output={tmp_path / 'again'}"])
    first, again = map(results_file.read, (interrupted_run[0], tmp_path / "again"))
    assert again.settings.text == first.settings.text
    assert again.settings.configuration == (interrupted_run[0] / "dataset.txt").read_text().strip()
    for metric in ("psnr", "ssim_3d", "ssim"):
        mean = f"{metric}_deblurred"
        assert again.means[mean] == pytest.approx(first.means[mean], abs=1e-3)


def test_generator_rate_is_annealed(interrupted_run):
    logged = [r for r in rows(interrupted_run[0]) if "learning_rate_generator" in r]
    expected = [1e-7 + (2e-4 - 1e-7) * (1 + np.cos(np.pi * i / 8)) / 2 for i in range(6)]
    np.testing.assert_allclose([r["learning_rate_generator"] for r in logged], expected, rtol=1e-5)


def test_stage_2_keeps_the_encoder_of_stage_1(interrupted_run):
    workdir = interrupted_run[0]
    image = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    first, second = load(workdir / "model-reblur"), load(workdir / "model")
    assert read_description(workdir / "model").architecture.version == 2
    np.testing.assert_array_equal(
        first.degradation(image).representation, second.degradation(image).representation
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("x = 1", "has no function get_config"),
    ],
)
def test_files_that_are_no_configuration_are_refused(tmp_path, prepared, content, message):
    file = tmp_path / "config.py"
    if content:
        file.write_text(content)
    arguments = [sys.executable, "launch.py", f"--config={file}", f"--workdir={tmp_path}/run"]
    refused = subprocess.run(arguments, capture_output=True, cwd=ROOT, text=True)
    assert refused.returncode != 0
    assert refused.stderr.startswith(f"error: --config {file} {message}")
    assert not (tmp_path / "run").exists()


def assert_equal_runs(first, second):
    for name in ("model-reblur", "model"):
        trained = [arrays_of(load(run / name).network) for run in (first, second)]
        jax.tree.map(np.testing.assert_array_equal, *trained)
    for loss in ("l1", "psnr_loss"):
        assert [r.get(loss) for r in rows(first)] == [r.get(loss) for r in rows(second)]


def test_resumed_run_is_bitwise_the_uninterrupted_one(interrupted_run, tmp_path, prepared):
    straight = launch(tmp_path / "straight", prepared, ALONE)
    assert straight.returncode == 0, straight.stderr
    assert_equal_runs(interrupted_run[0], tmp_path / "straight")


@pytest.mark.slow  # three processes that compile the discriminator's step
def test_resumed_adversarial_run_is_bitwise_the_uninterrupted_one(tmp_path, prepared):
    *_, repeated = interrupt_and_repeat(tmp_path / "interrupted", prepared)
    straight = launch(tmp_path / "straight", prepared)
    for process in (repeated, straight):
        assert process.returncode == 0, process.stderr
    assert_equal_runs(tmp_path / "interrupted", tmp_path / "straight")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--config.deblur.step=3"], "--config.deblur.step"),
        (["--config.reblur.crop=wide"], "--config.reblur.crop=wide must be an integer"),
        (["--config.reblur.crop=40"], "reblur.crop=40 must be a multiple of 16"),
    ],
)
def test_unusable_configurations_are_refused_at_once(tmp_path, prepared, extra, message):
    started = time.monotonic()
    refused = launch(tmp_path / "run", prepared, *extra)
    assert refused.returncode != 0
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "run").exists()
    assert time.monotonic() - started < 60


def test_an_empty_photo_folder_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    refused = launch(tmp_path / "run", tmp_path, f"--config.dataset.photographs={tmp_path}/photos")
    assert refused.returncode == 1
    assert f"{tmp_path}/photos" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_workdir_of_another_configuration_is_refused(interrupted_run, prepared):
    workdir = interrupted_run[0]
    before = sorted(p.name for p in workdir.iterdir())
    refused = launch(workdir, prepared, "--config.seed=1")
    assert refused.returncode == 1
    assert "seed: 0 there, 1 here" in refused.stderr
    assert "choose another --workdir" in refused.stderr
    assert sorted(p.name for p in workdir.iterdir()) == before


def test_more_steps_are_refused_with_a_command_that_works(interrupted_run, prepared):
    workdir = interrupted_run[0]
    before = sorted(p.name for p in workdir.iterdir())
    refused = launch(workdir, prepared, ALONE, "--config.deblur.steps=8")
    assert refused.returncode == 1
    assert "cannot become one of 8 steps" in refused.stderr
    assert sorted(p.name for p in workdir.iterdir()) == before
    pasted = shlex.split(refused.stderr.splitlines()[-1])
    assert pasted[:2] == ["msdi", "train"]
    extended = subprocess.run(
        [sys.executable, "-m", "msdi_jax", *pasted[1:]], capture_output=True, cwd=ROOT, text=True
    )
    assert extended.returncode == 0, extended.stderr
    provenance = read_description(workdir.with_name(f"{workdir.name}-8") / "model").provenance
    assert provenance["steps"] == 2
    assert provenance["start_from"] == read_description(workdir / "model").provenance


def test_a_foreign_folder_is_refused(tmp_path, prepared):
    (tmp_path / "thesis.tex").write_text("years of work")
    refused = launch(tmp_path, prepared)
    assert refused.returncode == 1
    assert "neither empty nor a run directory" in refused.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A configuration of both stages, and what becomes of them: nothing is trained or measured."""
    config = quickstart.get_config()
    done = []

    def train(name, *arguments, stop, **options):
        done.append(name)
        stop.requested = name == asked.get("during")
        return {}

    def save(name, *arguments):
        (tmp_path / "run" / DIRECTORIES[name]).mkdir()

    asked = {}
    for name, value in {
        "open_splits": lambda config: run.Splits([], [], [], "folder_1"),
        "check_sizes": lambda *arguments: None,
        "make_stage": lambda *arguments: None,
        "train": train,
        "_save": save,
        "evaluate_run": lambda *arguments: done.append("evaluated"),
    }.items():
        monkeypatch.setattr(run, name, value)
    monkeypatch.setattr(run.report, "write_report", lambda workdir: workdir / "report.html")
    monkeypatch.setattr(run.provenance, "describe_network", lambda *arguments: None)
    return SimpleNamespace(
        run=lambda: run.run(config, tmp_path / "run"), asked=asked, done=done, config=config
    )


@pytest.mark.parametrize(
    ("stage", "left"), [("reblur", ["deblur", "evaluated"]), ("deblur", ["evaluated"])]
)
def test_asked_to_stop_while_a_stage_ends(stub, stage, left):
    """Its model is saved then, and what comes after it is left to the next start."""
    stub.asked["during"] = stage
    with pytest.raises(Interrupted) as stop:
        stub.run()
    assert stop.value.step == stub.config[stage].steps
    assert stub.done == ["reblur", "deblur"][: 1 + (stage == "deblur")]
    stub.done.clear()
    stub.asked.clear()
    stub.run()
    assert stub.done == left


def test_a_run_that_another_process_is_at_is_left_alone(stub, tmp_path):
    with (
        directory_lock.alone_in(tmp_path / "run"),
        pytest.raises(ValueError, match="another process is working in"),
    ):
        stub.run()
    assert not stub.done
    stub.run()
    assert stub.done == ["reblur", "deblur", "evaluated"]


def test_other_data_in_the_same_place_are_refused(stub, tmp_path, monkeypatch):
    """Photographs of a folder may come and go while the fields stay the same."""
    stub.asked["during"] = "reblur"
    with pytest.raises(Interrupted):
        stub.run()
    stub.done.clear()
    stub.asked.clear()
    with monkeypatch.context() as patch:
        patch.setattr(run, "open_splits", lambda config: run.Splits([], [], [], "folder_2"))
        with pytest.raises(ValueError, match=r"started on the set folder_1, .* now folder_2"):
            stub.run()
    assert not stub.done
    stub.run()
    assert stub.done == ["deblur", "evaluated"]
    # Without a record, the set of the next start is recorded.
    (tmp_path / "run" / run_directory.DATA).unlink()
    stub.run()
    assert (tmp_path / "run" / run_directory.DATA).read_text() == "folder_1\n"
