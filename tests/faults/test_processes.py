"""Two processes of two devices each, on this machine."""

import socket
import subprocess
import sys
import time

import pytest

from tests import launching

pytestmark = pytest.mark.slow


# Adam would blow rounding errors up (see sharded_steps.py), and so would long steps.
PLAIN_DESCENT = ("--config.deblur.adam_eps=1e-2", "--config.deblur.learning_rate=1e-2")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return launching.prepare(tmp_path_factory.mktemp("prepared"))


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def start_two(workdir, prepared, *extra):
    coordinator = f"--coordinator=localhost:{free_port()}"
    return [
        launching.start(
            workdir,
            prepared,
            coordinator,
            "--num_processes=2",
            f"--process_id={process}",
            *extra,
            devices=2,
        )
        for process in range(2)
    ]


@pytest.mark.parametrize(
    "mesh", [(), ("--config.mesh.rows=4",), ("--config.mesh.shard_state=True",)], ids=str
)
def test_losses_are_those_of_one_process(tmp_path, prepared, mesh):
    """rows=4 shares every image among the processes."""
    mesh = (*mesh, *PLAIN_DESCENT)
    launching.finish(launching.start(tmp_path / "one", prepared, *mesh, devices=4))
    first, second = start_two(tmp_path / "two", prepared, *mesh)
    printed = launching.finish(first)
    assert "report:" in printed
    # The second one keeps quiet.
    assert "deblur 1/8" not in launching.finish(second)
    one, two = (launching.rows(tmp_path / name, "psnr_loss") for name in ("one", "two"))
    assert [row["step"] for row in two] == list(range(1, 9))
    for a, b in zip(one, two, strict=True):
        for key in ("psnr_loss", "feature_loss"):
            assert b[key] == pytest.approx(a[key], rel=1e-5), (a["step"], key)


@pytest.mark.parametrize("killed", [0, 1])
def test_killing_one_ends_the_other_and_the_restart_resumes(tmp_path, prepared, killed):
    steps = ("--config.deblur.steps=400", "--config.deblur.checkpoint_every=5")
    processes = start_two(tmp_path / "run", prepared, *steps)
    launching.read_until(processes[0], "deblur 12/400")
    processes[killed].kill()
    started = time.monotonic()
    printed, _ = processes[1 - killed].communicate(timeout=60)
    print(f"ended after {time.monotonic() - started:.1f} s: {printed[-600:]}")
    assert processes[1 - killed].returncode not in (0, None)
    processes[killed].wait()
    latest = launching.saved(tmp_path / "run")[-1]
    # Step 10 may still have been on its way to the disk, which step 5 was waited for.
    assert latest >= 5
    processes = start_two(tmp_path / "run", prepared, *steps)
    printed = launching.read_until(processes[0], "resuming from step")
    assert int(printed.split()[-1]) == latest
    launching.read_until(processes[0], "deblur 20/400")
    # One asks to stop: both do, at the same step.
    processes[1].terminate()
    assert "resume with the same command" in launching.finish(processes[0], 120)
    launching.finish(processes[1], 120)


def test_what_one_refuses_ends_both(tmp_path, prepared):
    """Only the first process opens the photographs while the other one waits for it."""
    lacking = f"--config.dataset.photographs={tmp_path / 'nowhere'}"
    first, second = start_two(tmp_path / "run", prepared, lacking)
    printed = first.communicate(timeout=120)[0]
    second.communicate(timeout=120)
    assert "nowhere is not a folder" in printed
    assert first.returncode != 0
    assert second.returncode != 0


def test_all_go_back_where_one_cannot_read(tmp_path):
    coordinator = f"localhost:{free_port()}"
    module = "tests.faults.one_cannot_read"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(tmp_path), coordinator, str(process)],
            cwd=launching.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in range(2)
    ]
    for process, reason in zip(
        processes, ("another process cannot", "failed for a moment"), strict=True
    ):
        printed = launching.finish(process, 120)
        assert f"2 cannot be read: {reason}" in printed.replace("the disk ", "")
        assert "going back to step 1" in printed
        assert "step 1, w 1" in printed
    assert sorted(path.name for path in (tmp_path / "checkpoints" / "deblur").iterdir()) == ["1"]
    (aside,) = (tmp_path / "checkpoints" / "deblur-damaged").iterdir()
    assert aside.name.startswith("2-")
