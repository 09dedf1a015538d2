"""No table is wider than the page, as Chromium draws it."""

import html
import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WIDTH = 1280
# The theme's tables are blocks as wide as the text, in which wider rows scroll.
MEASURE = """
<script>
addEventListener("load", () => {
  const boxes = [...document.querySelectorAll("table")].map(table => ({
    title: table.rows[0].innerText.split("\\t").join(" | "),
    width: Math.round(table.rows[0].getBoundingClientRect().width),
    room: Math.round(table.closest("[role=main]").getBoundingClientRect().width),
  }));
  document.body.innerHTML = "<pre id=measured></pre>";
  document.getElementById("measured").textContent = JSON.stringify(boxes);
});
</script></body>"""


def measure(page, profile):
    """Return title, width and room, in px, of every table of a built page."""
    copy = page.with_name("measured.html")
    copy.write_text(page.read_text().replace("</body>", MEASURE))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={profile}", f"--window-size={WIDTH},900", copy.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    (boxes,) = re.findall("<pre id=.?measured.?>(.*?)</pre>", dom, re.DOTALL)
    return json.loads(html.unescape(boxes))


@pytest.mark.slow  # starts a browser for every page
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_every_table_fits(site, tmp_path):
    wide, tables = [], 0
    for page in sorted(site.rglob("index.html")):
        boxes = measure(page, tmp_path)
        assert len(boxes) == page.read_text().count("<table"), page
        tables += len(boxes)
        wide += [(page.parent.name, box) for box in boxes if box["width"] > box["room"]]
    assert tables > 30
    assert wide == []
