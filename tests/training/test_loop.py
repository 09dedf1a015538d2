"""The loop, with a stage of one number: the sum of the means of its batches."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msdi_jax.configs import base
from msdi_jax.runtime.mesh import make_mesh
from msdi_jax.training import loop, metrics_log
from msdi_jax.training.state import State


class Source:
    """Pairs of one colour each."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        picture = np.full((16, 16, 3), 10 * int(index) + 1, np.uint8)
        return {"blurry": picture, "sharp": picture, "name": f"record {index}"}


@dataclasses.dataclass
class Sum:
    """Not finite in the steps `bad`; best on val crops after step `best`."""

    bad: tuple[int, ...] = ()
    best: int = 10**6
    ema: bool = False

    def init(self, key):
        number = jnp.zeros(())
        ema = {"sum": number} if self.ema else {}
        return State(
            jnp.zeros((), jnp.int32), {"sum": number}, {}, {}, {}, ema, jnp.zeros((), jnp.int32)
        )

    def train_step(self, state, batch):
        step = state.step + 1
        bad = jnp.isin(step, jnp.asarray(self.bad or (0,)))
        mean = batch["blurry"].astype(jnp.float32).mean()
        new = dataclasses.replace(
            state,
            step=step,
            params={"sum": state.params["sum"] + jnp.where(bad, 0, mean)},
            skipped=state.skipped + bad,
            ema=jax.tree.map(lambda x: x + 1, state.ema),
        )
        loss = jnp.where(bad, jnp.nan, mean)
        return new, {"loss": loss, "other": mean, "skipped": new.skipped}

    def val_step(self, state, batch):
        psnr = -jnp.abs(state.step - self.best).astype(jnp.float32)
        return {"loss": state.params["sum"], "psnr": psnr}, {"blurry": batch["blurry"] / 255}


@pytest.fixture
def run(tmp_path):
    config = base.get_config()
    config.deblur.update(
        batch_size=2, crop=16, steps=12, log_every=1, val_every=3, checkpoint_every=3
    )

    def start(stage=None, val_source=None, **fields):
        config.deblur.update(fields)
        return loop.train(
            "deblur",
            stage or Sum(),
            config,
            workdir=tmp_path,
            mesh=make_mesh(),
            train_source=Source(),
            val_source=Source() if val_source is None else val_source,
            stop=start.stop,
        )

    start.config, start.workdir, start.stop = config, tmp_path, loop.StopRequest()
    return start


def rows(run, prefix=""):
    lines = (run.workdir / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if any(k.startswith(prefix) for k in row)]


def saved(run):
    folder = run.workdir / "checkpoints" / "deblur"
    return sorted(int(path.name) for path in folder.iterdir())


def test_steps_are_logged_measured_and_saved(run):
    states = run()
    total = float(states["last"].params["sum"])
    logged = rows(run, "other")
    assert [row["step"] for row in logged] == list(range(1, 13))
    assert sum(row["loss"] for row in logged) == pytest.approx(total)
    measured = rows(run, "val/psnr")
    assert [row["step"] for row in measured] == [0, 3, 6, 9, 12]
    assert measured[-1]["val/loss"] == pytest.approx(total)
    assert saved(run) == [6, 9, 12]
    pictures = run.workdir / "samples" / "training"
    assert sorted(p.name for p in pictures.iterdir())[-1] == "deblur-0000012.png"


def test_the_best_is_kept_and_returned(run):
    states = run(Sum(best=3))
    assert saved(run) == [3, 6, 9, 12]
    assert set(states) == {"last", "best"}
    assert (int(states["last"].step), int(states["best"].step)) == (12, 3)


def test_no_best_where_none_is_to_be_kept(run):
    run.config.checkpoints.keep_best = 0
    assert set(run(Sum(best=9))) == {"last"}


def test_without_val_records_nothing_is_measured_and_nothing_is_best(run):
    states = run(Sum(best=3), val_source=[])
    assert set(states) == {"last"}
    assert saved(run) == [6, 9, 12]
    assert [row["step"] for row in rows(run, "other")] == list(range(1, 13))
    assert rows(run, "val/") == []
    assert metrics_log.val_ends(run.workdir, "deblur") == {}
    assert not list((run.workdir / "samples" / "training").iterdir())


def test_the_best_stays_the_best_after_a_stop(run):
    with pytest.raises(ValueError, match="step 8: loss"):
        run(Sum(best=3, bad=(8,)))
    states = run(Sum(best=3))
    assert saved(run) == [3, 6, 9, 12]
    assert int(states["best"].step) == 3


def test_the_average_is_measured_and_returned(run):
    states = run(Sum(ema=True))
    assert float(states["ema"].params["sum"]) == 12
    assert [row["val/ema_loss"] for row in rows(run, "val/")] == [0, 3, 6, 9, 12]


def test_a_step_that_is_not_finite_stops_the_run(run):
    message = (
        r"^deblur step 8: loss not finite; the last good checkpoint is step 6: repeat with "
        r"--config\.deblur\.skip_nonfinite=K .* or start again with a smaller learning_rate$"
    )
    with pytest.raises(ValueError, match=message):
        run(Sum(bad=(8,)))
    assert saved(run) == [3, 6]
    assert [row["step"] for row in rows(run, "other")] == list(range(1, 8))


def test_before_the_first_checkpoint(run):
    with pytest.raises(ValueError, match="step 2: loss not finite; nothing was saved yet"):
        run(Sum(bad=(2,)))


def test_a_bad_step_is_not_saved(run):
    """Though it is only looked at after the next one was dispatched."""
    with pytest.raises(ValueError, match="step 6: loss"):
        run(Sum(bad=(6,)))
    assert saved(run) == [3]


def test_bad_steps_are_left_out_where_that_is_allowed(run, capsys):
    states = run(Sum(bad=(5, 8)), skip_nonfinite=2)
    assert int(states["last"].skipped) == 2
    assert int(states["last"].step) == 12
    assert [row["step"] for row in rows(run, "other")] == [1, 2, 3, 4, 6, 7, 9, 10, 11, 12]
    printed = capsys.readouterr().out
    assert "deblur step 5: loss not finite: step skipped (1 of at most 2)" in printed


def test_one_bad_step_too_many(run):
    with pytest.raises(ValueError, match=r"step 9: loss not finite; the last good .* step 6"):
        run(Sum(bad=(5, 8, 9)), skip_nonfinite=2)
    # Skipped steps are counted across repetitions.
    with pytest.raises(ValueError, match="step 9: loss not finite"):
        run(Sum(bad=(5, 8, 9)), skip_nonfinite=2)


def test_asked_to_stop(run, monkeypatch):
    """A request during step 5 is followed at the latest two steps later, and saved."""
    request = run.stop
    train_step = Sum.train_step

    def ask(stage, state, batch):
        jax.debug.callback(lambda step: setattr(request, "requested", int(step) >= 4), state.step)
        return train_step(stage, state, batch)

    monkeypatch.setattr(Sum, "train_step", ask)
    with pytest.raises(loop.Interrupted) as stop:
        run()
    assert 5 <= stop.value.step <= 7
    assert saved(run)[-1] == stop.value.step
    request.requested = False
    monkeypatch.setattr(Sum, "train_step", train_step)
    interrupted = float(run()["last"].params["sum"])
    assert [row["step"] for row in rows(run, "other")] == list(range(1, 13))
    assert interrupted == pytest.approx(sum(row["loss"] for row in rows(run, "other")))


def test_going_back_from_a_damaged_checkpoint(run, capsys):
    expected = float(run(steps=12)["last"].params["sum"])
    folder = run.workdir / "checkpoints" / "deblur"
    names = {file.name for file in (folder / "12").iterdir()}
    for file in (folder / "12").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    again = run()
    printed = capsys.readouterr().out
    assert "checkpoints/deblur/12 cannot be read" in printed
    (moved,) = (folder.parent / "deblur-damaged").iterdir()
    assert f"checkpoint 12 is now {moved}, going back to step 9" in printed
    assert {file.name for file in moved.iterdir()} == names
    assert "resuming from step 9" in printed
    assert float(again["last"].params["sum"]) == expected
    assert saved(run) == [6, 9, 12]


def test_a_damaged_best_checkpoint_is_left_out(run, capsys):
    run(Sum(best=3))
    for file in (run.workdir / "checkpoints" / "deblur" / "3").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    assert set(run(Sum(best=3))) == {"last"}
    assert "the best checkpoint, of step 3, is left out: " in capsys.readouterr().out


def test_no_checkpoint_can_be_read(run):
    run()
    folder = run.workdir / "checkpoints" / "deblur"
    before = saved(run)
    for file in folder.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of the checkpoints in .*/deblur can be read"):
        run()
    assert saved(run) == before
