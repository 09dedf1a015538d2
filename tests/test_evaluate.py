"""The evaluate command: its row, its refusals, and going on after an interruption."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from flax import nnx

from msdi_jax import command_evaluate, measurements, metrics, model, published_rows
from msdi_jax.__main__ import main


def records(count=3):
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (count, 20, 24, 3), dtype=np.uint8)
    noise = rng.integers(-9, 10, sharp.shape)
    blurry = np.clip(sharp + noise, 0, 255).astype(np.uint8)
    return [
        {"name": f"r{i}".encode(), "blurry": blurry[i], "sharp": sharp[i]} for i in range(count)
    ]


@pytest.fixture
def called(monkeypatch, tmp_path):
    """A model that halves, a set of three pairs, and how often the model was asked."""
    calls = []
    network = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    description = model.Description("msdi2_net", 64, 128, {}, "")

    def deblur(x):
        calls.append(x.shape)
        if len(calls) in interruptions:
            raise KeyboardInterrupt
        return x / 2

    interruptions = []
    loaded = SimpleNamespace(deblur=deblur, network=network, description=description)
    monkeypatch.setattr(model, "describe", lambda path: description)
    monkeypatch.setattr(model, "load", lambda path: loaded)
    builder = SimpleNamespace(
        prepare=lambda root: tmp_path / "set" / "whole" / "1.0.0",
        open_split=lambda directory, split: records(),
    )
    import_module = command_evaluate.importlib.import_module
    monkeypatch.setattr(
        command_evaluate.importlib,
        "import_module",
        lambda name: builder if name.endswith("_builder") else import_module(name),
    )
    return SimpleNamespace(calls=calls, interruptions=interruptions, loaded=loaded, builder=builder)


def evaluate(tmp_path, *more, dataset="gopro", protocol="whole"):
    output = tmp_path / "out"
    main(
        [
            "evaluate",
            "--model=m",
            f"--dataset={dataset}",
            f"--protocol={protocol}",
            f"--output={output}",
            *more,
        ]
    )
    return json.loads((output / "row.json").read_text())


def test_row(called, tmp_path, capsys):
    row = evaluate(tmp_path)
    halved = [np.round(r["blurry"].astype(np.float32) / 255 / 2 * 255) for r in records()]
    for metric in ("psnr", "ssim_3d", "ssim"):
        figures = [
            getattr(metrics, metric)(x.astype(np.uint8), r["sharp"])
            for x, r in zip(halved, records(), strict=True)
        ]
        assert row[f"{metric}_deblurred"] == pytest.approx(np.mean(figures), abs=1e-9)
    with (tmp_path / "out" / "per_image.csv").open() as file:
        assert [line["name"] for line in csv.DictReader(file)] == ["r0", "r1", "r2"]
    printed = capsys.readouterr().out
    assert "gopro test, 3 images, protocol whole" in printed
    difference = row["psnr_deblurred"] - 33.28
    assert f"difference      {difference:+10.2f}" in printed
    assert "our reading" in printed
    assert "published            33.28     0.964" in printed


def test_grid_protocol_shows_tiles(called, tmp_path):
    evaluate(tmp_path, protocol="grid")
    assert called.calls == [(1, 256, 256, 3)] * 3


def test_interrupted_evaluation_goes_on(called, tmp_path):
    expected = evaluate(tmp_path / "straight")
    called.calls.clear()
    called.interruptions.append(3)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path)
    # A kill in the middle of a line.
    with (tmp_path / "out" / "per_image.csv").open("a") as file:
        file.write("r2,,12.")
    called.interruptions.clear()
    called.calls.clear()
    assert evaluate(tmp_path) == expected
    assert len(called.calls) == 1
    straight = (tmp_path / "straight" / "out" / "per_image.csv").read_bytes()
    assert (tmp_path / "out" / "per_image.csv").read_bytes() == straight


@pytest.mark.parametrize("change", ["protocol", "model"])
def test_figures_of_something_else_are_not_mixed_in(called, tmp_path, change):
    evaluate(tmp_path)
    before = (tmp_path / "out" / "per_image.csv").read_bytes()
    if change == "model":
        kernel = called.loaded.network.kernel
        kernel.set_value(kernel[...] + 1)
    with pytest.raises(SystemExit, match=rf"measured with {change} .*choose another --output"):
        evaluate(tmp_path, protocol="grid" if change == "protocol" else "whole")
    assert (tmp_path / "out" / "per_image.csv").read_bytes() == before


def test_unknown_set_is_refused_with_those_there_are(called, tmp_path):
    with pytest.raises(SystemExit, match=r"'gopr': data/ has .*camera_shake"):
        evaluate(tmp_path, dataset="gopr")
    assert not (tmp_path / "out").exists()


def test_a_set_that_needs_files_asks_for_them(called, tmp_path):
    called.builder.prepare = lambda root, source: None
    with pytest.raises(SystemExit, match="give its directory by --data"):
        evaluate(tmp_path)


def test_a_model_without_deblurring_branch_is_refused(called, tmp_path, monkeypatch):
    other = model.Description("discriminator", 2, None, {}, "")
    monkeypatch.setattr(model, "describe", lambda path: other)
    with pytest.raises(SystemExit, match="m holds a discriminator model, which deblurs nothing"):
        evaluate(tmp_path)
    assert not (tmp_path / "out").exists()


def test_equal_names_are_refused(called, tmp_path):
    called.builder.open_split = lambda directory, split: records(2) + records(1)
    with pytest.raises(SystemExit, match="record 2 is another one named 'r0'"):
        evaluate(tmp_path)


def test_every_digit_survives(tmp_path):
    row = {"name": 'a,"b"', "photograph": "", "psnr": 1 / 3, "other": float("inf")}
    measurements.Measurements(tmp_path, {"a": 1}).add(row)
    assert measurements.Measurements(tmp_path, {"a": 1}).rows == {'a,"b"': row}


@pytest.mark.parametrize(
    ("network", "dataset", "configuration", "psnr"),
    [
        ("msdi_net", "gopro", "blur_0123", 33.28),
        ("msdi2_net", "realblur", "j_0123", 32.35),
        ("msdi2_net", "realblur_j", "", 32.35),
        ("joint", "gopro", "", None),
        ("msdi2_net", "realblur", "r_0123", None),
        ("msdi2_net", "camera_shake", "", None),
    ],
)
def test_published_figures(network, dataset, configuration, psnr):
    found = published_rows.find(network, dataset, configuration)
    assert (found and found.psnr) == psnr
