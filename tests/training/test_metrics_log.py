import json
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from msdi_jax.training import metrics_log


def write_rows(folder, *rows, tail=""):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text + tail)


def row(stage, step, **scalars):
    return {"stage": stage, "step": step, **scalars}


@pytest.fixture
def start(tmp_path):
    """Opens logs of `tmp_path` that are closed after the test."""
    opened = []

    def open_log(stage="deblur", *, start=0, steps=100):
        opened.append(metrics_log.StageLog(tmp_path, stage, start=start, steps=steps))
        return opened[-1]

    yield open_log
    for stage_log in opened:
        stage_log.close()


def rows(folder):
    return metrics_log.read_rows(folder / "metrics.jsonl")


def test_no_file_means_no_rows(tmp_path):
    assert rows(tmp_path) == []


@pytest.mark.parametrize("tail", ['{"stage": "deblur", "st', "{", '{"stage": "deblur", "step": 3'])
def test_a_last_line_cut_short_is_left_out(tmp_path, tail):
    whole = [row("deblur", 1, loss=0.5), row("deblur", 2, loss=0.25)]
    write_rows(tmp_path, *whole, tail=tail)
    assert rows(tmp_path) == whole


def test_rows_after_a_cut_are_readable(tmp_path, start):
    write_rows(tmp_path, row("deblur", 1), tail='{"stage": "deb')
    start(start=1).train(2, {"loss": 0.5})
    assert [r["step"] for r in rows(tmp_path)] == [1, 2]


def test_resuming_drops_the_rows_of_the_stage_beyond_the_start(tmp_path, start):
    other = [row("reblur", 10), row("reblur", 90, **{"val/loss": 1.0})]
    own = [row("deblur", 10), row("deblur", 20), row("deblur", 21), row("deblur", 30)]
    write_rows(tmp_path, *other, *own)
    start(start=20)
    assert rows(tmp_path) == [*other, *own[:2]]
    assert {p.name for p in tmp_path.iterdir()} == {"metrics.jsonl", "events", "samples"}


def test_step_0_is_measured_again_before_the_first_checkpoint(tmp_path, start):
    other = row("reblur", 0)
    write_rows(tmp_path, other, row("deblur", 0), row("deblur", 1))
    start(start=0)
    assert rows(tmp_path) == [other]


def test_a_fresh_stage_keeps_what_the_other_wrote(tmp_path, start):
    first = start("reblur")
    first.train(1, {"loss": 1.0})
    start("deblur").train(1, {"loss": 2.0})
    assert [(r["stage"], r["loss"]) for r in rows(tmp_path)] == [("reblur", 1.0), ("deblur", 2.0)]


def clock(monkeypatch, *times):
    times = iter(times)
    monkeypatch.setattr(
        metrics_log,
        "time",
        SimpleNamespace(**vars(metrics_log.time) | {"monotonic": lambda: next(times)}),
    )


def test_speed_and_time_left(tmp_path, start, monkeypatch, capsys):
    """10 steps in 5 s, then 20 s of val evaluation that are not counted, then 10 in 40 s."""
    clock(monkeypatch, 100.0, 105.0, 125.0, 165.0)
    stage_log = start(start=30, steps=1000)
    stage_log.train(40, {"loss": 0.5, "learning_rate": 1e-4})
    stage_log.val(40, {"loss": 0.25}, pictures(1))
    stage_log.train(50, {"loss": 0.125, "learning_rate": 1e-4})
    logged = rows(tmp_path)
    assert [r["step"] for r in logged] == [40, 40, 50]
    assert [r.get("steps_per_second") for r in logged] == pytest.approx([2.0, None, 0.25])
    assert logged[1] == row("deblur", 40, **{"val/loss": 0.25})
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "deblur 40/1000  loss 0.5  2.00 steps/s  ETA 0:08:00",
        "deblur 40/1000  val: loss 0.25",
        "deblur 50/1000  loss 0.125  0.25 steps/s  ETA 1:03:20",
    ]


def test_rows_are_on_disk_before_the_log_is_closed(tmp_path, start):
    start().train(1, {"loss": 0.5})
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["loss"] == 0.5


def events(folder):
    """(step, tag, value) of TensorBoard's records: length, checksum, event, checksum."""
    scalars = []
    for path in folder.iterdir():
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            scalars += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
            data = data[16 + length :]
    return scalars


def test_tensorboard_sees_the_scalars(tmp_path, start):
    stage_log = start()
    stage_log.train(3, {"loss": 0.5})
    stage_log.val(4, {"loss": 0.25}, pictures(1))
    stage_log.close()
    scalars = events(tmp_path / "events" / "deblur")
    assert (3, "deblur/loss", 0.5) in scalars
    assert (4, "deblur/val/loss", 0.25) in scalars


def pictures(count):
    """Crops of 4×5 px: blurry ones hold 10 times their number, sharp ones 1 more."""
    levels = [np.full((4, 5, 3), 10 * i, np.uint8) for i in range(count)]
    return {"blurry": np.stack(levels), "sharp": np.stack(levels) + np.uint8(1)}


def test_val_pictures(tmp_path):
    stage_log = metrics_log.StageLog(tmp_path, "deblur", start=0, steps=100)
    stage_log.val(40, {"loss": 0.25}, pictures(9))
    stage_log.close()
    sheet = np.asarray(Image.open(tmp_path / "samples" / "training" / "deblur-0000040.png"))
    assert sheet.shape == (4 * metrics_log.SHOWN_CROPS, 10, 3)
    for row in range(metrics_log.SHOWN_CROPS):
        assert (sheet[4 * row, 0, 0], sheet[4 * row, 5, 0]) == (10 * row, 10 * row + 1)


def test_val_ends(tmp_path):
    assert metrics_log.val_ends(tmp_path, "deblur") == {}
    write_rows(
        tmp_path,
        row("reblur", 0, **{"val/loss": 9.0}),
        row("deblur", 0, **{"val/loss": 4.0, "val/l1": 1.0}),
        row("deblur", 1, loss=100.0),
        row("deblur", 5, **{"val/loss": 3.0, "val/l1": 2.0}),
        row("deblur", 9, **{"val/loss": 2.0, "val/l1": 3.0}),
        row("deblur", 10, loss=100.0),
    )
    assert metrics_log.val_ends(tmp_path, "deblur") == {
        "initial": {"loss": 4.0, "l1": 1.0},
        "final": {"loss": 2.0, "l1": 3.0},
    }
    assert metrics_log.val_ends(tmp_path, "reblur")["initial"] == {"loss": 9.0}
    assert metrics_log.val_ends(tmp_path, "other") == {}


def test_eta_beyond_a_day(tmp_path, monkeypatch, capsys):
    times = iter([0.0, 1.0])
    monkeypatch.setattr(metrics_log, "time", SimpleNamespace(monotonic=lambda: next(times)))
    stage_log = metrics_log.StageLog(tmp_path, "deblur", start=0, steps=400_000)
    stage_log.train(1, {"loss": 1.0})
    stage_log.close()
    assert "ETA 4 days, 15:06:39" in capsys.readouterr().out
