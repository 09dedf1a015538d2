"""The page of all images of a set: worst and best, deciles, distributions."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from msdi_jax import report
from msdi_jax.evaluation import aggregate, best_worst
from msdi_jax.evaluation.results_file import Settings
from tests.report_pages import write_results, written


def rows(count):
    """PSNR of image i: blurry 20 + i, deblurred 22 + i, but the last is deblurred worst."""
    images = [
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
    images[-1]["psnr_deblurred"] = 10.0
    return images


def level(row):
    """The level of its pictures."""
    return 8 * int(row["name"][-2:])


def draw_best_worst(folder, images, blurry=True):
    def pictures(index):
        deblurred = np.full((12, 16, 3), level(images[index]), np.uint8)
        shown = {"deblurred": deblurred, "sharp": deblurred + 5}
        return shown | ({"blurry": deblurred + 9} if blurry else {})

    return best_worst.write_pictures(folder / "samples" / "best_worst", images, pictures)


@pytest.fixture
def full(tmp_path):
    """A run with thirty images of one scene, two of them samples."""
    images = rows(30)
    (tmp_path / "config.json").write_text("{}")
    samples = [row["name"] for row in images[:2]]
    shown = draw_best_worst(tmp_path, images)
    write_results(tmp_path, images, samples=samples, best_worst=shown)
    for name in samples:
        for role in ("blurry", "deblurred", "sharp", "reblurred"):
            picture = tmp_path / "samples" / f"{best_worst.file_stem(name)}-{role}.png"
            Image.new("RGB", (30, 20)).save(picture)
    return tmp_path


def sections(page_text):
    """Title → HTML."""
    parts = re.split(r"<h2>(.*?)</h2>", page_text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def shown(section):
    return re.findall(r'alt="(\S+), deblurred"', section)


def test_worst_and_best_ten(full):
    report.write_report(full)
    parts = sections((full / "report.html").read_text(encoding="utf-8"))
    worst, best = parts["Worst images"], parts["Best images"]
    assert shown(worst) == ["scene/29", *(f"scene/{i:02d}" for i in range(9))]
    assert shown(best) == [f"scene/{i:02d}" for i in range(28, 18, -1)]
    assert "The 10 deblurred images of lowest PSNR." in worst
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


def test_deciles_are_called_our_reading(full):
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
    for path in (full / "samples" / "best_worst").glob("*29-*"):
        path.unlink()
    page = written(full)
    assert "best_worst: no pictures of scene/29" in page.text
    assert "Worst images" in page.text


def test_damaged_pictures_are_named(full):
    folder = full / "samples" / "best_worst"
    (folder / "scene%2F29-error.jpg").write_bytes(b"")
    half = folder / "scene%2F29-sharp.jpg"
    half.write_bytes(half.read_bytes()[:300])
    page = written(full)
    for role in ("error", "sharp"):
        assert f"best_worst/scene%2F29-{role}.jpg cannot be read as a picture" in page.text


def evaluation_folder(folder, rows, blurry=True):
    settings = Settings("gopro", "", "test", len(rows), ["gopro"], outputs="0123")
    shown = draw_best_worst(folder, rows, blurry)
    write_results(folder, rows, settings, method="MPRNet", best_worst=shown)
    return folder


def test_an_evaluation_has_a_page(tmp_path):
    page = written(evaluation_folder(tmp_path, rows(30)))
    assert "Evaluation · " in page.text
    assert "over the blurry input on 30 gopro test images" in page.text
    for fact in ("MethodMPRNet", "Images30", "Scoredgopro"):
        assert fact in page.text
    for absent in ("Training", "Val", "Missing", "reblurred", "Steps", "Width", "Restored"):
        assert absent not in page.text.replace("Reblurring", "")
    assert page.row("scene/03")[2:5] == ["+2.00", "23.00", "25.00"]
    assert '"outputs": "0123"' in page.text


def test_an_evaluation_without_blurry_images(tmp_path):
    images = [{k: v for k, v in row.items() if not k.endswith("_blurry")} for row in rows(4)]
    page = written(evaluation_folder(tmp_path, images, blurry=False))
    assert "Deblurred images reach a PSNR of 19.75 dB on 4 gopro test images." in page.text
    assert "Not measured: this needs the blurry images." in page.text
    values = [a["value"] for a in page.all("input") if a["type"] == "radio"]
    assert set(values) == {"sharp", "error"}
    left = [image["alt"] for image in page.all("img") if image["class"] == "left"]
    assert all(alt.endswith(", deblurred") for alt in left)
    assert len(left) == 4
