"""The page in a real browser, where one is installed: it fits a phone, and its sliders work."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from msdi_jax import report
from msdi_jax.evaluation import best_worst
from msdi_jax.evaluation.results_file import Settings
from tests.report_pages import write_results

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-file-access-from-files",
    "--virtual-time-budget=2000",
    "--dump-dom",
)
# The page in a frame as wide as the device; what it finds is left in the document.
PROBE = """<!doctype html><pre id="found"></pre>
<iframe src="report.html" style="border:0;width:WIDTHpx;height:900px"></iframe><script>
addEventListener('load', () => {
  const page = document.querySelector('iframe').contentDocument;
  const view = page.defaultView;
  const slider = page.querySelector('.slider');
  const frame = slider.querySelector('.frame');
  const box = frame.getBoundingClientRect();
  const cut = () => slider.style.getPropertyValue('--cut');
  const seen = () => [...frame.querySelectorAll('img')]
    .filter((image) => view.getComputedStyle(image).visibility === 'visible')
    .map((image) => image.className).sort().join(' ');
  const found = { width: view.innerWidth, start: [cut(), seen()] };
  const root = page.scrollingElement;
  found.overflow = root.scrollWidth - root.clientWidth;
  found.beyond = [...page.querySelectorAll('body *')].filter((element) =>
    element.getBoundingClientRect().right > view.innerWidth + 1 &&
    !element.closest('.scroll, pre, details')).map((element) => element.className);
  frame.setPointerCapture = () => {};
  const x = box.left + 0.25 * box.width;
  const pointer = { clientX: x, clientY: box.top + 5, bubbles: true, pointerId: 1 };
  frame.dispatchEvent(new view.PointerEvent('pointerdown', pointer));
  found.dragged = cut();
  const range = frame.querySelector('input');
  range.value = 80;
  range.dispatchEvent(new view.Event('input'));
  found.keyed = cut();
  slider.querySelector('[value="error"]').click();
  found.error = seen();
  found.pictures = [...page.images].map((image) => image.naturalWidth);
  const table = page.querySelector('.sortable');
  table.closest('details').open = true;
  const buttons = table.querySelectorAll('button');
  const first = () => table.tBodies[0].rows[0].cells[0].textContent;
  buttons[2].click();
  found.most = first();
  buttons[2].click();
  found.least = first();
  document.getElementById('found').textContent = JSON.stringify(found);
});
</script>"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Forty images with long names, the worst and best with pictures."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        row = {"name": f"GOPR0384_11_00_a_rather_long_name/{i:06d}.png", "photograph": "GOPR0384"}
        for metric, level in (("psnr", 28), ("ssim_3d", 0.9), ("ssim", 0.87)):
            blurry = level * rng.uniform(0.8, 1)
            row |= {f"{metric}_blurry": blurry, f"{metric}_deblurred": blurry * (1.1 + i / 1000)}
        rows.append(row)

    def pictures(index):
        noise = rng.integers(0, 256, (3, 36, 64, 3)).astype(np.uint8)
        return dict(zip(("blurry", "deblurred", "sharp"), noise, strict=True))

    settings = Settings("gopro", "", "test", 40, ["gopro", "per_channel"], restore="grid")
    shown = best_worst.write_pictures(folder / "samples" / "best_worst", rows, pictures)
    write_results(folder, rows, settings, best_worst=shown)
    (folder / "config.json").write_text(json.dumps({"width": 64, "note": "a" * 200}))
    losses = [{"stage": "deblur", "step": s, "psnr_loss": -20 - s / 9} for s in range(90)]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, losses)))
    report.write_report(folder)
    return folder, rows


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(run, tmp_path, width):
    folder, rows = run
    (folder / "probe.html").write_text(PROBE.replace("WIDTH", str(width)))
    command = [BROWSER, *OPTIONS, f"--user-data-dir={tmp_path}", f"file://{folder}/probe.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    printed = re.search(r'<pre id="found">(.+?)</pre>', done.stdout)
    assert printed, done.stderr[-2000:]
    found = json.loads(html.unescape(printed[1]))
    assert found["width"] == width
    assert found["overflow"] == 0
    assert found["beyond"] == []
    assert found["start"] == ["50%", "deblurred left"]
    assert found["dragged"] == "25%"
    assert found["keyed"] == "80%"
    assert found["error"] == "error left"
    assert found["pictures"] == [64] * 20 * 4
    gains = {row["name"]: row["psnr_deblurred"] - row["psnr_blurry"] for row in rows}
    shown = {key: f"{value:.2f}" for key, value in gains.items()}
    assert shown[found["most"]] == max(shown.values(), key=float)
    assert shown[found["least"]] == min(shown.values(), key=float)
