"""Run directories and their pages, for tests of the report."""

import dataclasses
import html.parser

from msdi_jax import report
from msdi_jax.evaluation import aggregate, results_file
from msdi_jax.evaluation.results_file import Evaluation, ResultsFile, Settings

VOID = {"meta", "img", "input"}  # no end tag
SETTINGS = Settings("camera_shake", "box_1", "test", 2, ["gopro"], restore="whole")


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


def written(folder) -> Page:
    path = report.write_report(folder)
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def write_results(folder, rows, settings=SETTINGS, **fields):
    """The results of `rows`; their means and deciles may be among the fields."""
    (folder / results_file.NAME).unlink(missing_ok=True)
    (folder / results_file.ROWS).unlink(missing_ok=True)
    settings = dataclasses.replace(settings, images=len(rows))
    results = ResultsFile(folder, settings)
    for row in rows:
        results.add(row)
    fields = {"means": aggregate.means(rows), "deciles": aggregate.deciles(rows)} | fields
    results_file.write(folder, Evaluation(settings, **fields))
