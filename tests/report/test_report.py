"""The page of a run: its numbers, samples and curves, and missing pieces."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from msdi_jax import report
from msdi_jax.evaluation.results_file import Evaluation
from msdi_jax.report import reading
from tests.report_pages import SETTINGS, write_results, written

ROWS = [
    {"stage": "reblur", "step": 1, "l1": 2.0, "learning_rate_generator": 2e-4},
    {"stage": "reblur", "step": 2, "l1": 1.0, "learning_rate_generator": 1e-4},
    {"stage": "reblur", "step": 2, "val/loss": 1.25},
    {"stage": "deblur", "step": 1, "psnr_loss": -14.0, "gradient_norm": 500.0},
    {"stage": "deblur", "step": 2, "psnr_loss": -15.0, "gradient_norm": 2.0},
]
IMAGES = [
    {"name": "a-0", "photograph": "<b>&", "psnr_blurry": 25.005, "psnr_deblurred": 25.405},
    {"name": "b-0", "photograph": "b", "psnr_blurry": 23.2, "psnr_deblurred": 23.04},
]
MEANS = {
    "psnr_blurry": 24.1234,
    "psnr_deblurred": 24.2434,
    "psnr_reblurred": 30.5678,
    "ssim_3d_blurry": 0.81234,
    "ssim_3d_deblurred": 0.82345,
    "ssim_blurry": 0.71111,
    "ssim_deblurred": 0.70111,
}
SAMPLES = ["b-0", "a-0"]
FIELDS = {
    "means": MEANS,
    "deciles": None,
    "val_losses": {"reblur": {"initial": {"l1": 1.8304}, "final": {"l1": 0.40211}}},
    "samples": SAMPLES,
}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "short"
    (folder / "samples").mkdir(parents=True)
    config = {"width": 16, "reblur": {"steps": 600}, "deblur": {"steps": 900}}
    (folder / "config.json").write_text(json.dumps(config))
    lines = [json.dumps(row) for row in ROWS]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"stage": "deblur", "st']))
    write_results(folder, IMAGES, **FIELDS)
    rng = np.random.default_rng(0)
    for name in SAMPLES:
        for role in ("blurry", "deblurred", "sharp", "reblurred"):
            pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "samples" / f"{name}-{role}.png")
    return folder


def jsonl(run, rows):
    path = run / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def changed(run, rows=IMAGES, **fields):
    write_results(run, rows, **FIELDS | fields)


def test_the_page_needs_no_other_file(run):
    page = written(run)
    references = [
        value
        for _, attrs in page.tags
        for key, value in attrs.items()
        if key in ("src", "href", "srcset", "xlink:href", "action")
    ]
    assert references
    assert all(reference.startswith("data:") for reference in references)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", text)
    assert "$" not in text
    assert sorted(path.name for path in run.iterdir() if path.suffix == ".html") == ["report.html"]


def test_every_sample_is_there_as_a_picture_of_its_own_proportions(run):
    page = written(run)
    images = {image["alt"]: image for image in page.all("img")}
    assert len(images) == 8
    for name in SAMPLES:
        for role in ("blurry", "deblurred", "sharp", "reblurred"):
            head, data = images[f"{name}, {role}"]["src"].split(",")
            assert head == "data:image/jpeg;base64"
            decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), np.float64)
            original = np.asarray(Image.open(run / "samples" / f"{name}-{role}.png"))
            # Another picture of the same noise would be 85 away.
            assert np.abs(decoded - original).mean() < 25
    assert page.text.index("b-0 ") < page.text.index("a-0 ")
    frames = [attrs for attrs in page.all("div") if attrs.get("class") == "frame"]
    assert [frame["style"] for frame in frames] == ["aspect-ratio:30/20"] * 2


def test_sliders_and_charts_are_labelled(run):
    page = written(run)
    ranges = [attrs for attrs in page.all("input") if attrs["type"] == "range"]
    assert len(ranges) == 2
    assert all(attrs["aria-label"] for attrs in ranges)
    labels = [svg["aria-label"] for svg in page.all("svg") if "role" in svg]
    assert "l1: training 2 at step 1, 1 at step 2" in labels
    assert "loss: val 1.25 at step 2, 1.25 at step 2" in labels
    assert "PSNR gain of 2 images, from −0.16 to +0.40 dB" in labels


def test_the_numbers_are_those_of_the_run(run):
    page = written(run)
    assert page.row("PSNR, dB") == ["PSNR, dB", "24.12", "24.24", "+0.12", "30.57"]
    assert page.row("ssim_3d") == ["ssim_3d", "0.8123", "0.8235", "+0.0111", "–"]
    assert page.row("ssim") == ["ssim", "0.7111", "0.7011", "−0.0100", "–"]
    assert page.row("l1") == ["l1", "1.83", "0.4021", "−1.428"]
    assert page.row("b-0") == ["b-0", "b", "−0.16", "23.20", "23.04"]
    assert "SSIM" not in page.text
    assert "whole (each image in one piece), 1 orientation" in page.text
    assert (
        "Deblurring gains +0.12 dB over the blurry input on 2 camera_shake (box_1) test images"
        in page.text
    )
    assert "1 of 2 images improve" in page.text
    assert "33.28 dB on GoPro after 400,000" in page.text
    assert "this run took 900 steps at width 16" in page.text


@pytest.mark.parametrize(
    ("deblurred", "sentence"),
    [
        (
            24.0,
            "loses −0.12 dB over the blurry input on 2 camera_shake (box_1) test images.",
        ),
        (24.1235, "Deblurring leaves the PSNR of the blurry input on 2"),
        (float("nan"), "This run has no deblurring result yet."),
    ],
)
def test_the_verdict_follows_the_sign(deblurred, sentence):
    assert sentence in report.verdict(Evaluation(SETTINGS, MEANS | {"psnr_deblurred": deblurred}))


def test_a_large_gain_needs_no_excuse(run):
    changed(run, means=MEANS | {"psnr_deblurred": 28.0})
    assert "33.28" not in written(run).text


def test_a_long_run_does_not_blame_its_length(run):
    (run / "config.json").write_text('{"width": 64, "deblur": {"steps": 400000}}')
    assert "does not explain the small gain" in written(run).text


def test_the_width_is_that_of_the_network_that_deblurs(run):
    fields = {"width": 8, "deblur": {"steps": 900, "width": 32}}
    (run / "config.json").write_text(json.dumps(fields))
    assert "this run took 900 steps at width 32" in written(run).text


def test_text_is_escaped(run):
    (run / "config.json").write_text(json.dumps({"note": "</pre><script>alert(1)</script>"}))
    page = written(run)
    assert page.row("a-0")[1] == "<b>&"
    assert not page.all("b")
    assert len(page.all("script")) == 1


def test_a_truncated_line_is_left_out_and_said(run):
    page = written(run)
    assert "metrics.jsonl: 1 unreadable line left out" in page.text
    assert any(
        svg.get("aria-label") == "psnr_loss: training -14 at step 1, -15 at step 2"
        for svg in page.all("svg")
    )


def test_a_resumed_run_keeps_the_later_value_of_a_repeated_step(run):
    rows = [{"stage": "reblur", "step": step, "l1": 9.0} for step in (1, 2, 3)]
    rows += [{"stage": "reblur", "step": 2, "l1": 4.0}, {"stage": "reblur", "step": 3, "l1": 3.0}]
    curves = reading.read_metrics(jsonl(run, rows), ["reblur"], [])
    assert curves["reblur"]["l1"].training == {1: 9.0, 2: 4.0, 3: 3.0}


def test_values_that_are_not_finite_are_counted(run):
    jsonl(run, [{"stage": "reblur", "step": 1, "l1": float("nan"), "hinge_real": None}])
    assert "2 values not finite" in written(run).text


def test_missing_pieces_are_named(run):
    for path in (run / "samples").glob("a-0-*.png"):
        path.unlink()
    (run / "samples" / "b-0-sharp.png").write_bytes(b"\x89PNG half")
    (run / "samples" / "b-0-deblurred.png").unlink()
    (run / "metrics.jsonl").unlink()
    text = written(run).text
    assert "samples/a-0-blurry.png" in text
    assert "samples/b-0-sharp.png cannot be read" in text
    assert "samples/b-0-deblurred.png" in text
    assert "metrics.jsonl: no training curves" in text


def test_an_unfinished_run_has_a_page(run):
    (run / "evaluation.json").unlink()
    text = written(run).text
    assert "This run has no deblurring result yet." in text
    assert "Last logged: reblur step 2, deblur step 2." in text
    assert "the run has not been evaluated" in text


def test_a_directory_with_only_a_configuration_has_a_page(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    text = written(tmp_path).text
    for piece in ("evaluation.json", "metrics.jsonl", "samples"):
        assert piece in text


def test_a_stage_that_was_not_asked_for_is_not_missing(run):
    jsonl(run, ROWS[3:])
    assert "no rows of stage reblur" in written(run).text
    (run / "config.json").write_text('{"stages": ["deblur"]}')
    assert "no rows of stage" not in written(run).text


def test_bars_are_grouped_by_photograph_and_start_at_zero(run):
    pairs = [("b", 0.5), ("a", -0.25), ("b", 1.0), ("a", 2.0)]
    rows = [
        {"name": f"{p}{g}", "photograph": p, "psnr_blurry": 20.0, "psnr_deblurred": 20.0 + g}
        for p, g in pairs
    ]
    changed(run, rows)
    page = written(run)
    bars = page.all("rect")
    assert [bar["class"] for bar in bars] == ["c0", "c0", "c1", "c1"]
    heights = np.array([float(bar["height"]) for bar in bars])
    np.testing.assert_allclose(heights / heights[0], [1, 0.125, 0.5, 0.25], atol=2e-3)
    zero = float(bars[0]["y"]) + heights[0]
    assert float(bars[1]["y"]) == pytest.approx(zero, abs=0.2)
    assert page.row("a")[1:] == ["2", "+0.88", "−0.25", "+2.00"]


def test_pictures_beyond_the_budget_are_named(run, monkeypatch):
    page = written(run)
    size = sum(len(image["src"]) for image in page.all("img") if image["alt"].startswith("b-0"))
    monkeypatch.setattr(reading, "EMBEDDED_BYTES", size)
    page = written(run)
    assert {image["alt"].split(",")[0] for image in page.all("img")} == {"b-0"}
    assert "samples: a-0 and later ones" in page.text


def test_other_directories_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is not a run directory: no config\.json; give the --w"):
        report.write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_former_page_alone(run, monkeypatch):
    (run / "report.html").write_text("former")
    before = sorted(run.iterdir())

    def full_disk(self, target):
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        report.write_report(run)
    assert (run / "report.html").read_text() == "former"
    assert sorted(run.iterdir()) == before
    (run / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        report.write_report(run)
    assert sorted(run.iterdir()) == before


def test_a_run_without_validation_has_no_val_losses(run):
    (run / "config.json").write_text('{"val": 0}')
    changed(run, val_losses={})
    assert "Val losses" not in written(run).text
    (run / "config.json").write_text('{"val": 4, "stages": ["deblur"]}')
    page = written(run)
    assert "Val losses" in page.text
    assert "Not recorded." in page.text
    assert "Stage 1: reblurring" not in page.text.split("Training")[1]


def test_damaged_results_are_named(run):
    (run / "evaluation.json").write_text("{}")
    assert "evaluation.json is damaged" in written(run).text
    changed(run)
    (run / "per_image.csv").write_text("name,psnr\na,high\n")
    assert "per_image.csv cannot be read" in written(run).text
