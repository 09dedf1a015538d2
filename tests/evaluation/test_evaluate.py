"""The evaluate command on models: its row, its refusals, and going on after an interruption."""

import csv
import dataclasses
import importlib
import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from flax import nnx

from msdi_jax.__main__ import main
from msdi_jax.configs import quickstart
from msdi_jax.evaluation import evaluate as evaluation
from msdi_jax.evaluation import metrics, reported_results, results_file
from msdi_jax.models import model
from msdi_jax.runtime import directory_lock
from msdi_jax.training import final_evaluation

DESCRIPTION = model.Description("msdi2_net", 64, 128, {}, "")


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

    def deblur(self, x):
        calls.append(x.shape)
        if len(calls) in interruptions:
            raise KeyboardInterrupt
        return x / 2

    interruptions = []
    monkeypatch.setattr(model.Model, "_deblur", deblur)
    loaded = model.Model(network, DESCRIPTION)
    monkeypatch.setattr(model, "describe", lambda path: DESCRIPTION)
    monkeypatch.setattr(model, "load", lambda path: loaded)
    builder = SimpleNamespace(
        prepare=lambda root: tmp_path / "set" / "whole" / "1.0.0",
        open_split=lambda directory, split: records(),
    )
    import_module = importlib.import_module
    monkeypatch.setattr(
        importlib,
        "import_module",
        lambda name: builder if name.endswith("_builder") else import_module(name),
    )
    return SimpleNamespace(calls=calls, interruptions=interruptions, loaded=loaded, builder=builder)


def evaluate(tmp_path, *more, dataset="gopro", restore="whole"):
    output = tmp_path / "out"
    main(
        [
            "evaluate",
            "--model=m",
            f"--dataset={dataset}",
            f"--restore={restore}",
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
    assert [line["name"] for line in per_image(tmp_path)] == ["r0", "r1", "r2"]
    printed = capsys.readouterr().out
    assert "gopro test, 3 images, restored: whole, scored: gopro, per_channel" in printed
    differences = row["psnr_deblurred"] - 33.28, row["ssim_3d_deblurred"] - 0.964
    told = f"difference {differences[0]:+.2f} dB, {differences[1]:+.4f}"
    assert f"published: PSNR 33.28 dB, SSIM 0.964; {told}" in printed
    assert f"PSNR, dB {row['psnr_blurry']:22.2f} {row['psnr_deblurred']:10.2f}" in printed
    assert "Our reading of the protocol, which the paper does not spell out" in printed


@pytest.mark.parametrize(
    ("scoring", "figures", "told"),
    [
        (
            ["float"],
            {"psnr_float"},
            "by other protocols, so no difference: give --protocol gopro\n",
        ),
        (["per_channel"], {"psnr", "ssim"}, "; difference -"),
    ],
)
def test_published_figures_are_compared_with_those_they_mean(
    called, tmp_path, capsys, scoring, figures, told
):
    row = evaluate(tmp_path, "--protocol", *scoring)
    assert {key for key in row if key.endswith("_deblurred")} == {f"{f}_deblurred" for f in figures}
    assert told in capsys.readouterr().out


def test_float_sees_what_the_network_gave(called, tmp_path):
    """Half of an odd level is no level: rounding changes the PSNR."""
    row = evaluate(tmp_path, "--protocol", "gopro", "float")
    exact = [metrics.psnr(r["blurry"] / 2.0, r["sharp"]) for r in records()]
    assert row["psnr_float_deblurred"] == pytest.approx(np.mean(exact), abs=1e-5)
    assert abs(row["psnr_deblurred"] - np.mean(exact)) > 1e-4


def test_grid_shows_tiles(called, tmp_path):
    evaluate(tmp_path, restore="grid")
    assert set(called.calls) == {(1, 256, 256, 3)}


def test_pictures_of_the_extremes_and_a_page(called, tmp_path):
    row = evaluate(tmp_path)
    ranked = sorted(per_image(tmp_path), key=lambda line: float(line["psnr_deblurred"]))
    names = [line["name"] for line in ranked]
    assert row["extremes"] == {"worst": names[:1], "best": names[-1:]}
    pictures = {path.name for path in (tmp_path / "out" / "samples" / "extremes").iterdir()}
    roles = ("blurry", "deblurred", "sharp", "error")
    assert pictures == {f"{name}-{role}.jpg" for name in (names[0], names[-1]) for role in roles}
    assert (tmp_path / "out" / "report.html").exists()


def per_image(tmp_path):
    with (tmp_path / "out" / "per_image.csv").open() as file:
        return list(csv.DictReader(file))


def test_interrupted_evaluation_goes_on(called, tmp_path):
    expected = evaluate(tmp_path / "straight")
    called.calls.clear()
    called.interruptions.append(3)
    with pytest.raises(SystemExit, match="stopped: the same command"):
        evaluate(tmp_path)
    # A kill in the middle of a line.
    with (tmp_path / "out" / "per_image.csv").open("a") as file:
        file.write("r2,,12.")
    called.interruptions.clear()
    called.calls.clear()
    assert evaluate(tmp_path) == expected
    # One image that was not measured, and the pictures of two.
    assert len(called.calls) == 1 + 2
    straight = (tmp_path / "straight" / "out" / "per_image.csv").read_bytes()
    assert (tmp_path / "out" / "per_image.csv").read_bytes() == straight


def test_a_second_run_reuses_all(called, tmp_path, capsys):
    evaluate(tmp_path)
    called.calls.clear()
    evaluate(tmp_path)
    assert called.calls == []
    assert "3 of 3 images were measured before" in capsys.readouterr().out


@pytest.mark.parametrize("said", [True, False])
def test_several_orientations(called, tmp_path, said):
    """Asked for, or as the model says."""
    alone = evaluate(tmp_path / "alone")
    called.calls.clear()
    if said:
        called.loaded.description = dataclasses.replace(called.loaded.description, orientations=2)
    row = evaluate(tmp_path, *([] if said else ["--ensemble=2"]))
    assert row["restore"] == "whole, 2 orientations"
    # Three images and the pictures of two, each in both orientations.
    assert len(called.calls) == (3 + 2) * 2
    # What halves treats all alike.
    assert row["psnr_deblurred"] == pytest.approx(alone["psnr_deblurred"])
    with pytest.raises(SystemExit, match=r"restore 'whole, 2 orientations' \(now 'whole'\)"):
        evaluate(tmp_path, "--ensemble=1")


@pytest.mark.parametrize("change", ["restore", "protocols", "model", "window"])
def test_figures_of_something_else_are_not_mixed_in(called, tmp_path, change):
    evaluate(tmp_path)
    before = (tmp_path / "out" / "per_image.csv").read_bytes()
    if change == "model":
        kernel = called.loaded.network.kernel
        kernel.set_value(kernel[...] + 1)
    more = {"protocols": ["--protocol=gopro"], "window": ["--window=64"]}.get(change, [])
    with pytest.raises(SystemExit, match=rf"measured with {change} .*choose another --output"):
        evaluate(tmp_path, *more, restore="grid" if change == "restore" else "whole")
    assert (tmp_path / "out" / "per_image.csv").read_bytes() == before


def test_unknown_set_is_refused_with_those_there_are(called, tmp_path):
    with pytest.raises(SystemExit, match=r"no data set 'gopr': choose one of .*gopro"):
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


def test_what_is_no_window_is_refused_before_the_data(called, tmp_path):
    called.builder.prepare = lambda root: pytest.fail("prepared")
    with pytest.raises(SystemExit, match="--window=5 px is no window"):
        evaluate(tmp_path, "--window=5")


def test_equal_names_are_refused(called, tmp_path):
    called.builder.open_split = lambda directory, split: records(2) + records(1)
    with pytest.raises(SystemExit, match="record 2 is another one named 'r0'"):
        evaluate(tmp_path)


def test_figures_that_another_process_measures_are_left_to_it(called, tmp_path):
    with (
        directory_lock.alone_in(tmp_path / "out"),
        pytest.raises(SystemExit, match=r"another process is at work in .*out"),
    ):
        evaluate(tmp_path)
    assert not called.calls


def test_every_digit_survives(tmp_path):
    row = {"name": 'a,"b"', "photograph": "", "psnr": 1 / 3, "other": float("inf")}
    results_file.Measurements(tmp_path, {"a": 1}).add(row)
    assert results_file.Measurements(tmp_path, {"a": 1}).rows == {'a,"b"': row}


@pytest.mark.parametrize(
    ("network", "dataset", "configuration", "psnr"),
    [
        ("msdi_net", "gopro", "blur_0123", 33.28),
        ("msdi2_net", "realblur", "j_0123", 32.35),
        ("msdi2_net", "realblur_j", "", 32.35),
        ("joint", "gopro", "", None),
        ("msdi2_net", "gopro", "blur_gamma_0123", None),
        ("msdi2_net", "realblur", "r_0123", None),
        ("msdi2_net", "camera_shake", "", None),
    ],
)
def test_published_figures(network, dataset, configuration, psnr):
    found = reported_results.find(network, dataset, configuration)
    assert (found and found.psnr) == psnr


def test_every_published_row_tells_its_source():
    assert all(
        row.source and row.dataset in reported_results.IMAGES for row in reported_results.ROWS
    )
    keys = [(row.method, row.dataset) for row in reported_results.ROWS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"restoration": "tiles"}, "'tiles' is no way to restore: give whole or grid"),
        ({"protocols": ["gopro", "psnr"]}, "protocol 'psnr' is unknown: choose among gopro, per_"),
    ],
)
def test_unknown_protocols_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        evaluation.evaluate(records(), deblurrer=None, joint=None, **options)


def test_rows_keep_the_order_of_the_names_in_several_threads(tmp_path):
    """The last image is the fastest; no more are worked on at once than there are workers."""
    running = []

    def measure(index):
        running.append(index)
        time.sleep(0.002 * (20 - index))
        assert len(running) <= 4
        running.remove(index)
        return {"name": str(index), "photograph": "", "psnr": float(index)}

    names = [str(index) for index in range(20)]
    found = results_file.Measurements(tmp_path, {"a": 1})
    rows = found.complete(names, measure, workers=4)
    assert [row["psnr"] for row in rows] == list(range(20))
    lines = (tmp_path / "per_image.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["name", *names]


def test_a_failure_in_a_thread_ends_the_work_and_keeps_what_is_done(tmp_path):
    begun = []

    def measure(index):
        begun.append(index)
        time.sleep(0.002)
        if index == 5:
            raise ValueError("image 5 is damaged")
        return {"name": str(index), "photograph": "", "psnr": float(index)}

    names = [str(index) for index in range(50)]
    found = results_file.Measurements(tmp_path, {"a": 1})
    with pytest.raises(ValueError, match="image 5 is damaged"):
        found.complete(names, measure, workers=2)
    assert list(results_file.Measurements(tmp_path, {"a": 1}).rows) == names[:5]
    assert len(begun) < 20


def test_a_runs_evaluation_has_deciles_and_pictures_of_its_own(tmp_path):
    restored = []

    def deblur(x):
        restored.append(x)
        return x / 2

    halves = SimpleNamespace(deblur=deblur, description=DESCRIPTION)
    stale = tmp_path / "samples" / "extremes" / "other-error.jpg"
    stale.parent.mkdir(parents=True)
    for former in (stale, tmp_path / "samples" / "r1-deblurred.png"):
        former.write_bytes(b"of a former model")
    found = evaluation.evaluate(
        records(4),
        deblurrer=halves,
        joint=None,
        samples=tmp_path / "samples",
        sample_count=2,
    )
    assert found["samples"] == ["r0", "r3"]
    assert len(restored) == 4, "of so few images none is restored again for its pictures"
    ranked = sorted(found["per_image"], key=lambda row: row["psnr_deblurred"])
    assert found["extremes"]["worst"] == [row["name"] for row in ranked[:2]]
    pictures = {path.name for path in (tmp_path / "samples" / "extremes").iterdir()}
    assert len(pictures) == 4 * 4
    assert stale.name not in pictures
    assert not (tmp_path / "samples" / "r1-deblurred.png").exists()
    blurry = [row["psnr_blurry"] for row in found["per_image"]]
    assert found["deciles"]["blurriest"]["psnr_blurry"] == min(blurry)
    assert found["deciles"]["sharpest"]["psnr_blurry"] == max(blurry)
    assert found["deciles"]["all"]["psnr_deblurred"] == found["psnr_deblurred"]


def test_a_runs_evaluation_goes_on_at_the_image_it_was_at(called, tmp_path):
    config = quickstart.get_config()

    def measure(deblurrer):
        return final_evaluation._measure(
            "last", config, tmp_path, records(3), "whole_1", deblurrer=deblurrer, joint=None
        )

    called.interruptions.append(3)
    with pytest.raises(KeyboardInterrupt):
        measure(called.loaded)
    resumed = measure(called.loaded)
    assert len(called.calls) == 4
    assert [row["name"] for row in resumed["per_image"]] == ["r0", "r1", "r2"]
    # Of other weights nothing is taken over.
    again = measure(model.Model(nnx.Linear(1, 1, rngs=nnx.Rngs(1)), DESCRIPTION))
    assert len(called.calls) == 7
    assert again == resumed


def test_names_that_are_paths_make_no_folders(tmp_path):
    """Records of `pairs` are named like their files."""
    made = [record | {"name": f"scene/{i}.png"} for i, record in enumerate(records(2))]
    halves = SimpleNamespace(deblur=lambda x: x / 2, description=DESCRIPTION)
    evaluation.evaluate(
        made, deblurrer=halves, joint=None, samples=tmp_path / "samples", sample_count=1
    )
    assert (tmp_path / "samples" / "scene%2F0.png-blurry.png").exists()


def test_a_joint_network_reblurs_in_tiles_too():
    """What is restored from two images is one."""

    def joint(blurry, sharp):
        return SimpleNamespace(reblurred=(blurry + 3 * sharp) / 4)

    halves = SimpleNamespace(deblur=lambda x: x / 2, description=DESCRIPTION)
    whole, grid = (
        evaluation.evaluate(records(2), deblurrer=halves, joint=joint, restoration=restoration)
        for restoration in ("whole", "grid")
    )
    assert grid["psnr_reblurred"] == pytest.approx(whole["psnr_reblurred"], abs=1e-4)
    assert grid["psnr_reblurred"] != pytest.approx(grid["psnr_blurry"], abs=0.1)
