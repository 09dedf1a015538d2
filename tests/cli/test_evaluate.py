"""The evaluate command on models: its results, its refusals, and how it resumes."""

import csv
import dataclasses
import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from flax import nnx

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.evaluation import metrics, reported_results, results_file
from msdi_jax.runtime import directory_lock

DESCRIPTION = models.Description(models.Architecture("msdi_net", 64), {}, "")


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
    monkeypatch.setattr(models.Model, "_deblur", deblur)
    loaded = models.Model(network, DESCRIPTION)
    monkeypatch.setattr(models, "read_description", lambda path: DESCRIPTION)
    monkeypatch.setattr(models, "load", lambda path: loaded)
    monkeypatch.setitem(reported_results.IMAGES, "GoPro", 3)
    builder = SimpleNamespace(
        Settings=dataclasses.make_dataclass("Settings", [("tile", str, "whole")]),
        prepare=lambda root, tile="whole": tmp_path / root / tile / "1.0.0",
        open_split=lambda directory, split: records(),
    )
    import_module = importlib.import_module
    monkeypatch.setattr(
        importlib,
        "import_module",
        lambda name: builder if name.endswith("gopro_dataset_builder") else import_module(name),
    )
    return SimpleNamespace(calls=calls, interruptions=interruptions, loaded=loaded, builder=builder)


def evaluate(tmp_path, *more, model="m", dataset="gopro", restore="whole"):
    output = tmp_path / "out"
    given = {"dataset": dataset, "restore": restore}
    chosen = [f"--{name}={value}" for name, value in given.items() if value]
    main(["evaluate", f"--model={model}", f"--output={output}", *chosen, *more])
    return results_file.read(output)


@pytest.fixture
def trained(tmp_path):
    """A run on the tiles of a set, which it measures whole by the protocol `float`."""
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "model.json").touch()
    config = {
        "dataset": {"name": "gopro", "directory": "sets", "tile": "small"},
        "evaluation": {"restore": "whole", "protocols": ["float"]},
    }
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    (tmp_path / "run" / "dataset.txt").write_text("small\n")
    return tmp_path / "run"


@pytest.mark.parametrize("model", ["run", "run/model"])
def test_a_run_is_measured_on_its_own_set_as_at_its_end(called, trained, tmp_path, capsys, model):
    called.loaded.description = dataclasses.replace(DESCRIPTION, orientations=2)
    main(["evaluate", f"--model={tmp_path / model}"])
    line = "gopro (small) test, 3 images, restored: whole, 2 orientations, scored: float\n"
    assert line in capsys.readouterr().out
    written = results_file.read(trained / "evaluation" / "model-gopro-test-whole")
    assert written.settings.configuration == "small"
    assert written.config["dataset"]["tile"] == "small"


def test_options_replace_the_settings_of_a_run(called, trained, tmp_path):
    more = ["--protocol=gopro", "--ensemble=4", "--split=train"]
    row = evaluate(tmp_path, *more, model=trained, dataset=None, restore="grid")
    assert row.settings.text == (
        "gopro (small) train, 3 images, restored: grid, 4 orientations, scored: gopro"
    )


def test_another_set_of_a_run_must_be_named(called, trained, tmp_path, capsys):
    """Also one of the same name: it is prepared by its defaults."""
    row = evaluate(tmp_path, model=trained, restore=None)
    assert row.settings.set_text == "gopro (whole) test"
    assert row.settings.restore == "whole"
    assert "run is gopro (small): leave out --dataset to measure on it" in capsys.readouterr().out


def test_a_set_that_changed_since_the_run_is_refused(called, trained, tmp_path):
    (trained / "dataset.txt").write_text("large\n")
    with pytest.raises(SystemExit, match=r"on gopro \(large\), but .* gives gopro \(small\): rest"):
        evaluate(tmp_path, model=trained, dataset=None)
    assert not called.calls


def test_a_model_without_a_run_has_no_set_of_its_own(called, tmp_path):
    with pytest.raises(SystemExit, match=r"m is not the model of a run.* name a set by --dataset"):
        evaluate(tmp_path, dataset=None)


@pytest.mark.parametrize("split", ["test", "train"])
def test_an_empty_split_of_a_run_is_refused(called, trained, tmp_path, split):
    called.builder.open_split = lambda directory, split: []
    with pytest.raises(SystemExit, match=f"split '{split}' of .*sets/small/1.0.0 is empty"):
        evaluate(tmp_path, f"--split={split}", model=trained, dataset=None)


def test_results(called, tmp_path, capsys):
    means = evaluate(tmp_path, restore="grid").means
    halved = [np.round(r["blurry"].astype(np.float32) / 255 / 2 * 255) for r in records()]
    for metric in ("psnr", "ssim_3d", "ssim"):
        values = [
            getattr(metrics, metric)(x.astype(np.uint8), r["sharp"])
            for x, r in zip(halved, records(), strict=True)
        ]
        assert means[f"{metric}_deblurred"] == pytest.approx(np.mean(values), abs=1e-9)
    assert [line["name"] for line in per_image(tmp_path)] == ["r0", "r1", "r2"]
    printed = capsys.readouterr().out
    assert (
        "gopro (whole) test, 3 images, restored: grid, 1 orientation, scored: gopro, per_channel\n"
        in printed
    )
    differences = means["psnr_deblurred"] - 33.28, means["ssim_3d_deblurred"] - 0.964
    difference = f"difference {differences[0]:+.2f} dB, {differences[1]:+.4f}"
    assert f"published: PSNR 33.28 dB, SSIM 0.964; {difference}" in printed
    assert f"PSNR, dB {means['psnr_blurry']:22.2f} {means['psnr_deblurred']:10.2f}" in printed
    assert "Our reading of the protocol, which the paper does not spell out" in printed


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--protocol", "float"], "not comparable; a comparison takes --protocol gopro\n"),
        (["--restore=whole", "--ensemble=2"], "takes --restore grid --ensemble 1\n"),
        (["--window=64"], "takes --window 0\n"),
        (["--protocol", "per_channel"], "published: PSNR 33.28 dB, SSIM 0.964; difference -"),
    ],
)
def test_published_results_are_compared_with_the_same_protocol_only(
    called, tmp_path, capsys, arguments, text
):
    evaluate(tmp_path, *arguments, restore="grid")
    printed = capsys.readouterr().out
    assert text in printed
    assert ("33.28" in printed) == ("difference" in text)


def test_published_results_are_not_compared_with_those_of_a_part(
    called, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(reported_results.IMAGES, "GoPro", 1111)
    evaluate(tmp_path, restore="grid")
    printed = capsys.readouterr().out
    assert "not comparable; the published result is of GoPro, 1111 images\n" in printed
    assert "33.28" not in printed


def test_float_sees_what_the_network_gave(called, tmp_path):
    """Half of an odd level is no level: rounding changes the PSNR."""
    means = evaluate(tmp_path, "--protocol", "gopro", "float").means
    exact = [metrics.psnr(r["blurry"] / 2.0, r["sharp"]) for r in records()]
    assert means["psnr_float_deblurred"] == pytest.approx(np.mean(exact), abs=1e-5)
    assert abs(means["psnr_deblurred"] - np.mean(exact)) > 1e-4


def test_grid_shows_tiles(called, tmp_path):
    evaluate(tmp_path, restore="grid")
    assert set(called.calls) == {(1, 256, 256, 3)}


def test_pictures_of_the_worst_and_best_and_a_page(called, tmp_path):
    row = evaluate(tmp_path)
    ranked = sorted(per_image(tmp_path), key=lambda line: float(line["psnr_deblurred"]))
    names = [line["name"] for line in ranked]
    assert row.best_worst == {"worst": names[:1], "best": names[-1:]}
    pictures = {path.name for path in (tmp_path / "out" / "samples" / "best_worst").iterdir()}
    roles = ("blurry", "deblurred", "sharp", "error")
    assert pictures == {f"{name}-{role}.jpg" for name in (names[0], names[-1]) for role in roles}
    assert (tmp_path / "out" / "report.html").exists()


def per_image(tmp_path):
    with (tmp_path / "out" / "per_image.csv").open() as file:
        return list(csv.DictReader(file))


def test_an_interrupted_evaluation_resumes(called, tmp_path):
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
    # The image that was not measured; the others have their pictures.
    assert len(called.calls) == 1
    straight = (tmp_path / "straight" / "out" / "per_image.csv").read_bytes()
    assert (tmp_path / "out" / "per_image.csv").read_bytes() == straight


def test_a_second_run_reuses_all(called, tmp_path, capsys):
    evaluate(tmp_path)
    called.calls.clear()
    evaluate(tmp_path)
    assert called.calls == []
    assert "3 of 3 images were measured before" in capsys.readouterr().out


@pytest.mark.parametrize("described", [True, False])
def test_several_orientations(called, tmp_path, described):
    """By the option, or by the model's description."""
    alone = evaluate(tmp_path / "alone")
    called.calls.clear()
    if described:
        called.loaded.description = dataclasses.replace(called.loaded.description, orientations=2)
    row = evaluate(tmp_path, *([] if described else ["--ensemble=2"]))
    assert row.settings.restoration == "whole, 2 orientations"
    assert len(called.calls) == 3 * 2
    # Halving commutes with turning.
    assert row.means["psnr_deblurred"] == pytest.approx(alone.means["psnr_deblurred"])
    with pytest.raises(SystemExit, match=r"orientations 2 \(now 1\)"):
        evaluate(tmp_path, "--ensemble=1")


@pytest.mark.parametrize("change", ["restore", "protocols", "models", "window"])
def test_results_of_other_settings_are_not_mixed_in(called, tmp_path, change):
    evaluate(tmp_path)
    before = (tmp_path / "out" / "per_image.csv").read_bytes()
    if change == "models":
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
    other = models.Description(models.Architecture("discriminator", 2), {}, "")
    monkeypatch.setattr(models, "read_description", lambda path: other)
    with pytest.raises(SystemExit, match="m holds a discriminator model, which cannot deblur"):
        evaluate(tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_wrong_window_is_refused_before_the_data(called, tmp_path):
    called.builder.prepare = lambda root: pytest.fail("prepared")
    with pytest.raises(SystemExit, match="--window=5 px is too small"):
        evaluate(tmp_path, "--window=5")


def test_equal_names_are_refused(called, tmp_path):
    called.builder.open_split = lambda directory, split: records(2) + records(1)
    with pytest.raises(SystemExit, match="record 2 is another one named 'r0'"):
        evaluate(tmp_path)


def test_a_folder_in_use_is_refused(called, tmp_path):
    with (
        directory_lock.alone_in(tmp_path / "out"),
        pytest.raises(SystemExit, match=r"another process is working in .*out"),
    ):
        evaluate(tmp_path)
    assert not called.calls


def test_a_run_directory_is_no_output(called, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    with pytest.raises(SystemExit, match="out is a run directory: choose another folder"):
        evaluate(tmp_path)
    assert not called.calls
