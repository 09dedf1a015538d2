"""Runs that are killed, stopped, or run out of disk."""

import contextlib
import random
import signal
import subprocess
import time

import numpy as np
import pytest

from tests import launching

pytestmark = pytest.mark.slow

# Writing a checkpoint takes far longer than two steps: most kills fall into it.
LONG = ("--config.deblur.steps=80", "--config.deblur.checkpoint_every=2")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return launching.prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, prepared):
    workdir = tmp_path_factory.mktemp("runs") / "uninterrupted"
    launching.finish(launching.start(workdir, prepared, *LONG))
    return workdir


def assert_same_end(workdir, uninterrupted):
    found, expected = (launching.arrays(run) for run in (workdir, uninterrupted))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    losses = [
        [(row["step"], row["psnr_loss"]) for row in launching.rows(run, "psnr_loss")]
        for run in (workdir, uninterrupted)
    ]
    assert losses[0] == losses[1]


def test_killed_at_twenty_random_moments(tmp_path, prepared, uninterrupted):
    draw = random.Random(0)
    reached = []
    for _ in range(20):
        process = launching.start(tmp_path / "run", prepared, *LONG)
        # Not sooner: a run killed before its first step has nothing to lose.
        printed = launching.read_until(process, "deblur ", "steps/s")
        time.sleep(draw.uniform(0, 10))
        process.kill()
        process.wait()
        process.stdout.close()
        assert "cannot be read" not in printed
        assert not (tmp_path / "run" / "model").exists(), "the run is too short for twenty kills"
        reached.append(max(launching.saved(tmp_path / "run"), default=0))
    print("saved steps after each kill:", reached)
    assert reached == sorted(reached)
    # On a slow machine a run may be killed before it has saved anything, but not each time.
    assert len(set(reached)) > 3
    launching.finish(launching.start(tmp_path / "run", prepared, *LONG))
    assert_same_end(tmp_path / "run", uninterrupted)


def test_sigterm_saves_and_ends_well(tmp_path, prepared, uninterrupted):
    process = launching.start(tmp_path / "run", prepared, *LONG)
    launching.read_until(process, "deblur 10/80")
    process.send_signal(signal.SIGTERM)
    printed = launching.finish(process)
    step = int(printed.split("saved at step ")[1].split(":")[0])
    assert launching.saved(tmp_path / "run")[-1] == step >= 10
    launching.finish(launching.start(tmp_path / "run", prepared, *LONG))
    assert_same_end(tmp_path / "run", uninterrupted)


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(path):
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 2**20)


def test_a_full_disk(small_disk, prepared, uninterrupted):
    process = launching.start(small_disk / "run", prepared, *LONG)
    launching.read_until(process, "deblur 20/80")
    filler = small_disk / "filler"
    fill(filler)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 1, printed
    # Threads of the storage library complain too, in no order.
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    print(errors)
    assert len(errors) == 1
    assert "No space" in errors[0] or "RESOURCE_EXHAUSTED" in errors[0]
    assert "repeat the command" in errors[0]
    filler.unlink()
    before = launching.saved(small_disk / "run")
    assert before
    printed = launching.finish(launching.start(small_disk / "run", prepared, *LONG))
    assert f"resuming from step {before[-1]}" in printed
    assert_same_end(small_disk / "run", uninterrupted)


def test_a_truncated_checkpoint(tmp_path, prepared, uninterrupted):
    process = launching.start(tmp_path / "run", prepared, *LONG)
    launching.read_until(process, "deblur 8/80")
    process.send_signal(signal.SIGTERM)
    launching.finish(process)
    *_, before, last = launching.saved(tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "deblur" / str(last)
    largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    printed = launching.finish(launching.start(tmp_path / "run", prepared, *LONG))
    assert f"checkpoints/deblur/{last} cannot be read" in printed
    assert f"resuming from step {before}" in printed
    assert_same_end(tmp_path / "run", uninterrupted)
