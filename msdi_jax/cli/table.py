"""python -m msdi_jax table: several evaluations and the published results in one table."""

import argparse
import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from msdi_jax.cli.paths import path
from msdi_jax.evaluation import reported_results, table
from msdi_jax.evaluation.aggregate import DECILES_NOTE
from msdi_jax.evaluation.protocols import METRICS
from msdi_jax.evaluation.reported_results import IMAGES, PublishedRow
from msdi_jax.evaluation.table import Row, Table, format_values

PUBLISHED = "Published, not measured here"
PRINTED = "SSIM as printed"
ESCAPED = {"\\": r"\textbackslash{}", "–": "--", "±": r"$\pm$", "×": r"$\times$", "~": r"\~{}"}
ESCAPED |= {letter: f"\\{letter}" for letter in "&%$#_{}"}


def add_to(commands) -> None:
    parser = commands.add_parser("table", help="merge evaluations into one table")
    parser.set_defaults(command=run)
    parser.add_argument(
        "runs",
        nargs="+",
        type=_labelled,
        metavar="[LABEL=]RUN",
        help="run directory, or folder that evaluate wrote; runs that differ by their seed alone "
        "become one row, mean ± standard deviation",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="markdown", help="default: %(default)s"
    )
    parser.add_argument("--dataset", help="leave out what was measured on another set")


def _labelled(text: str) -> tuple[Path, str]:
    """Return the directory and the label of [LABEL=]RUN; a directory may have = in its name."""
    label, equals, directory = text.partition("=")
    if equals and not path(text).exists():
        return path(directory), label
    return path(text), ""


def run(options: argparse.Namespace) -> None:
    tables = table.make_tables([table.read_entry(*run) for run in options.runs], options.dataset)
    print(FORMATS[options.format](tables))


def markdown(tables: Sequence[Table]) -> str:
    return "\n\n".join("\n\n".join(_markdown_parts(one)) for one in tables)


def _markdown_parts(one: Table) -> list[str]:
    head = ["method", "restored", *one.columns, *_further(one)]
    rows = [_cells(row, one) for row in one.rows]
    parts = [f"### {one.title}", _pipes(head, rows), *_notes(one)]
    if one.published:
        rows = [
            [row.method, f"{row.psnr:.2f}", f"{row.ssim:.3f}", row.source] for row in one.published
        ]
        head = ["method", _published_column(one), PRINTED, "source"]
        parts += [f"{_heading(one)}:", _pipes(head, rows)]
    return parts


def _notes(one: Table) -> list[str]:
    deciles = any(part in name for name in one.columns for part in table.DECILES.values())
    notes = [f"Blurriest and sharpest 10 %: {DECILES_NOTE}"] if deciles else []
    return notes + [f"{row.label}: {row.identical}" for row in one.rows if row.identical]


def _heading(one: Table) -> str:
    return f"{PUBLISHED} ({IMAGES[one.published[0].dataset]} images)"


def _published_column(one: Table) -> str:
    """The column of the PSNR of the set's published tables."""
    return METRICS[reported_results.METRICS[one.published[0].dataset][0]][0]


def _cells(row: Row, one: Table) -> list[str]:
    values = [format_values(row.values.get(name), digits) for name, digits in one.columns.items()]
    return [row.label, row.restored, *values, *(cell(row) for cell in _further(one).values())]


def _further(one: Table) -> dict[str, Callable[[Row], str]]:
    """Columns that only some tables have, and their cells."""
    known = {
        "parameters": lambda row: f"{row.parameters / 1e6:.2f} M" if row.parameters else "–",
        "published, GoPro": lambda row: f"{row.published:.2f}" if row.published else "–",
    }
    used = [any(row.parameters for row in one.rows), any(row.published for row in one.rows)]
    return {name: cell for (name, cell), on in zip(known.items(), used, strict=True) if on}


def _pipes(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '¦') for cell in line)} |" for line in lines)


def latex(tables: Sequence[Table]) -> str:
    r"""Needs \usepackage{booktabs}."""
    return "\n\n".join(_tabular(one) for one in tables)


def _tabular(one: Table) -> str:
    further = _further(one)
    head = ["method", "restored", *one.columns, *further, *([PRINTED] if one.published else [])]
    lines = [
        f"% {one.title}",
        rf"\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}",
        r"\toprule",
        _ampersands(head),
        r"\midrule",
    ]
    empty = [""] * bool(one.published)
    lines += [_ampersands([*_cells(row, one), *empty]) for row in one.rows]
    notes = _notes(one)
    if one.published:
        sources = list(dict.fromkeys(row.source for row in one.published))
        heading = rf"\multicolumn{{{len(head)}}}{{l}}{{\emph{{{_heading(one)}}}}} \\"
        lines += [r"\midrule", heading]
        lines += [_published_line(row, one, sources) for row in one.published]
        notes += [f"({_letter(source, sources)}) {source}" for source in sources]
    below = [rf"\par{{\footnotesize {_escaped(note)}}}" for note in notes]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *below])


def _published_line(row: PublishedRow, one: Table, sources: Sequence[str]) -> str:
    cells = [f"{row.psnr:.2f}" if name == _published_column(one) else "–" for name in one.columns]
    cells += ["–"] * len(_further(one))
    method = f"{row.method} ({_letter(row.source, sources)})"
    return _ampersands([method, "", *cells, f"{row.ssim:.3f}"])


def _letter(source: str, sources: Sequence[str]) -> str:
    return chr(ord("a") + sources.index(source))


def _ampersands(cells: Sequence[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(ESCAPED.get(letter, letter) for letter in text)


def comma_separated(tables: Sequence[Table]) -> str:
    """Every digit, and a row per method of every table; the note on deciles is in their names."""
    columns = list(dict.fromkeys(name for one in tables for name in one.columns))
    head = ["set", "origin", "method", "restored", "seeds", "parameters", "identical pairs"]
    for name in columns:
        head += [_named(name), f"{_named(name)}, deviation"]
    head += ["published PSNR, dB", f"published {PRINTED}", "source"]
    text = io.StringIO()
    writer = csv.DictWriter(text, head, restval="", lineterminator="\n")
    writer.writeheader()
    for one in tables:
        writer.writerows(_record(one.title, row) for row in one.rows)
        writer.writerows(_published_record(one.title, row) for row in one.published)
    return text.getvalue().rstrip("\n")


def _record(title: str, row: Row) -> dict[str, str]:
    seeds = max(map(len, row.values.values()), default=0)
    record = {"set": title, "origin": "measured", "method": row.label, "restored": row.restored}
    record |= {"seeds": str(seeds), "parameters": str(row.parameters or "")}
    record["identical pairs"] = row.identical
    for name, values in row.values.items():
        record[_named(name)] = repr(float(np.mean(values)))
        if len(values) > 1:
            record[f"{_named(name)}, deviation"] = repr(float(np.std(values, ddof=1)))
    return record


def _named(column: str) -> str:
    decile = any(part in column for part in table.DECILES.values())
    return f"{column} (our reading)" if decile else column


def _published_record(title: str, row: PublishedRow) -> dict[str, str]:
    results = {"published PSNR, dB": f"{row.psnr:.2f}", f"published {PRINTED}": f"{row.ssim:.3f}"}
    record = {"set": title, "origin": "published", "method": row.method, "source": row.source}
    return record | results


FORMATS = {"markdown": markdown, "latex": latex, "csv": comma_separated}
