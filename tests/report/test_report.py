import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from msdi_jax import report
from msdi_jax.evaluation import aggregate, best_worst
from msdi_jax.evaluation.results_file import Measurements
from msdi_jax.report import reading

VOID = {"meta", "img", "input"}  # no end tag
ROWS = [
    {"stage": "reblur", "step": 1, "l1": 2.0, "learning_rate_generator": 2e-4},
    {"stage": "reblur", "step": 2, "l1": 1.0, "learning_rate_generator": 1e-4},
    {"stage": "reblur", "step": 2, "val/loss": 1.25},
    {"stage": "deblur", "step": 1, "psnr_loss": -14.0, "gradient_norm": 500.0},
    {"stage": "deblur", "step": 2, "psnr_loss": -15.0, "gradient_norm": 2.0},
]
EVALUATION = {
    "dataset": "camera_shake",
    "split": "test",
    "restore": "whole",
    "images": 2,
    "steps": {"reblur": 600, "deblur": 900},
    "psnr_blurry": 24.1234,
    "psnr_deblurred": 24.2434,
    "psnr_reblurred": 30.5678,
    "ssim_3d_blurry": 0.81234,
    "ssim_3d_deblurred": 0.82345,
    "ssim_blurry": 0.71111,
    "ssim_deblurred": 0.70111,
    "val_losses": {"reblur": {"initial": {"l1": 1.8304}, "final": {"l1": 0.40211}}},
    "per_image": [
        {"name": "a-0", "photograph": "<b>&", "psnr_blurry": 25.005, "psnr_deblurred": 25.405},
        {"name": "b-0", "photograph": "b", "psnr_blurry": 23.2, "psnr_deblurred": 23.04},
    ],
    "samples": ["b-0", "a-0"],
}


class Page(html.parser.HTMLParser):
    """Collects what the tests ask about, and insists that every tag closes."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.text, self.rows = [], [], "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & {*self.open}:
            self.text += data
        if {"td", "th"} & {*self.open}:
            self.rows[-1][-1] += data

    def all(self, tag):
        return [attrs for found, attrs in self.tags if found == tag]

    def row(self, first):
        return next(row for row in self.rows if row[0] == first)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "short"
    (folder / "samples").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"width": 16, "deblur": {"steps": 900}}))
    lines = [json.dumps(row) for row in ROWS]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"stage": "deblur", "st']))
    (folder / "evaluation.json").write_text(json.dumps(EVALUATION))
    rng = np.random.default_rng(0)
    for name in EVALUATION["samples"]:
        for role in ("blurry", "deblurred", "sharp", "reblurred"):
            pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "samples" / f"{name}-{role}.png")
    return folder


def written(run) -> Page:
    path = report.write_report(run)
    assert path == run / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def jsonl(run, rows):
    path = run / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def changed(run, **fields):
    (run / "evaluation.json").write_text(json.dumps(EVALUATION | fields))


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
    for name in EVALUATION["samples"]:
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
    assert "whole (each image in one piece)" in page.text
    assert (
        "Deblurring gains +0.12 dB over the blurry input on 2 camera_shake test images" in page.text
    )
    assert "1 of 2 images improve" in page.text
    assert "33.28 dB on GoPro after 400,000" in page.text
    assert "this run took 900 steps at width 16" in page.text


@pytest.mark.parametrize(
    ("deblurred", "sentence"),
    [
        (24.0, "Deblurring loses −0.12 dB over the blurry input on 2 camera_shake test images."),
        (24.1235, "Deblurring leaves the PSNR of the blurry input on 2"),
        (float("nan"), "This run has no deblurring result yet."),
    ],
)
def test_the_verdict_follows_the_sign(deblurred, sentence):
    assert sentence in report.verdict(EVALUATION | {"psnr_deblurred": deblurred})


def test_a_large_gain_needs_no_excuse(run):
    changed(run, psnr_deblurred=28.0)
    assert "33.28" not in written(run).text


def test_a_long_run_does_not_blame_its_length(run):
    (run / "config.json").write_text('{"width": 64}')
    changed(run, steps={"deblur": 400_000})
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
    changed(run, per_image=rows)
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


# ---------------------------------------------------------------------------- all of a set


def rows(count):
    """PSNR of image i: blurry 20 + i, deblurred 22 + i, but the last is deblurred worst."""
    found = [
        {
            "name": f"scene/{i:02d}",
            "photograph": "scene",
            "psnr_blurry": 20.0 + i,
            "psnr_deblurred": 22.0 + i,
            "ssim_3d_blurry": 0.8,
            "ssim_3d_deblurred": 0.9,
        }
        for i in range(count)
    ]
    found[-1]["psnr_deblurred"] = 10.0
    return found


def level(row):
    """What tells its pictures apart."""
    return 8 * int(row["name"][-2:])


def with_extremes(folder, made, blurry=True):
    def pictures(index):
        deblurred = np.full((12, 16, 3), level(made[index]), np.uint8)
        found = {"deblurred": deblurred, "sharp": deblurred + 5}
        return found | ({"blurry": deblurred + 9} if blurry else {})

    return best_worst.write(folder / "samples" / "extremes", made, pictures)


@pytest.fixture
def full(run):
    """A run with thirty images of one scene."""
    made = rows(30)
    changed(
        run,
        **aggregate.means(made),
        images=30,
        per_image=made,
        deciles=aggregate.deciles(made),
        extremes=with_extremes(run, made),
        protocols=["gopro"],
    )
    return run


def sections(page_text):
    """Title → HTML."""
    parts = re.split(r"<h2>(.*?)</h2>", page_text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def shown(section):
    return re.findall(r'alt="(\S+), deblurred"', section)


def test_worst_and_best_ten(full):
    report.write_report(full)
    found = sections((full / "report.html").read_text(encoding="utf-8"))
    worst, best = found["Worst images"], found["Best images"]
    assert shown(worst) == ["scene/29", *(f"scene/{i:02d}" for i in range(9))]
    assert shown(best) == [f"scene/{i:02d}" for i in range(28, 18, -1)]
    assert "The 10 images of lowest PSNR when deblurred." in worst
    assert "PSNR 49.00 → 10.00 dB (−39.00)" in worst
    for section in (worst, best):
        assert section.count('value="error"') == section.count(', error"') == 10
    source = re.search(r'src="([^"]+)" alt="scene/28, deblurred"', best)[1]
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    assert np.abs(decoded.astype(int) - 8 * 28).max() <= 1


def test_buttons_belong_to_one_slider_each(full):
    page = written(full)
    buttons = [a for a in page.all("input") if a["type"] == "radio"]
    groups = {}
    for button in buttons:
        groups.setdefault(button["name"], []).append(button)
    assert len(groups) == 2 + 20
    assert all(sum("checked" in b for b in group) == 1 for group in groups.values())
    assert {tuple(b["value"] for b in group) for group in groups.values()} == {
        ("deblurred", "sharp", "reblurred"),
        ("deblurred", "sharp", "error"),
    }


def test_deciles_are_told_as_our_reading(full):
    page = written(full)
    # Of the tenths, the sharpest holds the image that was deblurred worst.
    assert page.row("PSNR, dB, blurry") == ["PSNR, dB, blurry", "21.00", "48.00", "34.50"]
    assert page.row("PSNR, dB, deblurred")[1:3] == ["23.00", f"{(49 + 50 + 10) / 3:.2f}"]
    assert aggregate.DECILES_NOTE in page.text
    assert "blurriest 10\xa0% 3 images" in page.text


def test_distributions(full):
    page = written(full)
    labels = [svg["aria-label"] for svg in page.all("svg") if "role" in svg]
    assert (
        "Histogram of PSNR, dB: blurry mean 34.5, from 20 to 49; deblurred mean 35.13, "
        "from 10 to 50" in labels
    )
    assert any(label.startswith("Histogram of ssim_3d: blurry mean 0.8") for label in labels)
    assert any(label.startswith("Histogram of Gain by deblurring: gain mean") for label in labels)
    assert not any("ssim:" in label for label in labels)


def test_lost_pictures_are_named(full):
    for path in (full / "samples" / "extremes").glob("*29-*"):
        path.unlink()
    page = written(full)
    assert "extremes: no pictures of scene/29" in page.text
    assert "Worst images" in page.text


def test_damaged_pictures_are_named(full):
    folder = full / "samples" / "extremes"
    (folder / "scene%2F29-error.jpg").write_bytes(b"")
    half = folder / "scene%2F29-sharp.jpg"
    half.write_bytes(half.read_bytes()[:300])
    page = written(full)
    for role in ("error", "sharp"):
        assert f"extremes/scene%2F29-{role}.jpg cannot be read as a picture" in page.text


def evaluation_folder(folder, made, blurry=True):
    header = {"outputs": "0123", "dataset": "gopro", "split": "test", "images": len(made)}
    measurements = Measurements(folder, header)
    for row in made:
        measurements.add(row)
    record = header | aggregate.means(made) | {"method": "MPRNet", "protocols": ["gopro"]}
    record |= {"deciles": aggregate.deciles(made), "extremes": with_extremes(folder, made, blurry)}
    (folder / "row.json").write_text(json.dumps(record))
    return folder


def test_an_evaluation_has_a_page(tmp_path):
    page = written(evaluation_folder(tmp_path, rows(30)))
    assert "Evaluation · " in page.text
    assert "over the blurry input on 30 gopro test images" in page.text
    for fact in ("MethodMPRNet", "Images30", "Scoredgopro"):
        assert fact in page.text
    for absent in ("Training", "Val", "Missing", "reblurred", "Steps"):
        assert absent not in page.text.replace("Reblurring", "")
    assert page.row("scene/03")[2:5] == ["+2.00", "23.00", "25.00"]
    assert '"outputs": "0123"' in page.text


def test_an_evaluation_without_blurry_images(tmp_path):
    made = [{k: v for k, v in row.items() if not k.endswith("_blurry")} for row in rows(4)]
    page = written(evaluation_folder(tmp_path, made, blurry=False))
    assert "Deblurred images reach a PSNR of 19.75 dB on 4 gopro test images." in page.text
    assert "Not measured: it takes the blurry images." in page.text
    values = [a["value"] for a in page.all("input") if a["type"] == "radio"]
    assert set(values) == {"sharp", "error"}
    left = [image["alt"] for image in page.all("img") if image["class"] == "left"]
    assert all(alt.endswith(", deblurred") for alt in left)
    assert len(left) == 4
