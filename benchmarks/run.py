"""Runs every benchmark, one after the other, and writes the table of docs/performance.md.

python -m benchmarks.run [--quick]

Take it on an otherwise idle machine: the table states the load before it began.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import timing
from msdi_jax.cli.paths import path
from msdi_jax.runtime.atomic_write import atomic_write

PAGE = timing.ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- made by make bench -->", "<!-- end of what make bench makes -->"
OF_WIDTH_64 = "benchmarks.inference", "--width", "64"
# Of either script the most telling first: an interrupted run keeps what it has.
FULL = [
    ("benchmarks.training", "--width", "8"),
    (*OF_WIDTH_64, "--pairs", "3", "--forms", "eager", "torch.compile", "channels_last"),
    ("benchmarks.training", "--width", "16"),
    ("benchmarks.memory", "--width", "64"),
    ("benchmarks.inference", "--width", "32", "--photographs", "--pairs", "1"),
    ("benchmarks.inference", "--network", "nafnet", "--width", "32"),
    ("benchmarks.startup", "--width", "64"),
    ("benchmarks.training", "--width", "64", "--batch", "1", "--stages", "deblur", "--pairs", "3"),
    ("benchmarks.pipeline", "--width", "8", "--batch", "4"),
    ("benchmarks.training", "--width", "64", "--batch", "1", "--stages", "reblur", "--pairs", "2"),
    # Where a CPU has no such instructions these take minutes.
    (*OF_WIDTH_64, "--pairs", "1", "--forms", "eager, bfloat16", "channels_last, bfloat16"),
]
FOR_BOTH = {
    # PyTorch's threads otherwise wait spinning, and stall for long next to any other process.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Huge pages, where the system leaves them to programs: docs/performance.md.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
QUICK = [
    ("benchmarks.training", "--width", "2", "--batch", "2", "--crop", "32", "--pairs", "1"),
    ("benchmarks.inference", "--quick"),
    ("benchmarks.inference", "--network", "nafnet", "--quick"),
    ("benchmarks.memory", "--width", "2", "--size", "64x96"),
    ("benchmarks.startup", "--width", "2", "--size", "64"),
    ("benchmarks.pipeline", "--width", "2", "--batch", "2", "--seconds", "0.5"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all runs")
    parser.add_argument("--page", type=path, default=PAGE, help="default: %(default)s")
    options = parser.parse_args()
    environment, start = timing.environment(), time.perf_counter()
    rows = []
    for module, *arguments in QUICK if options.quick else FULL:
        rows += _rows(module, *arguments)
        write(options.page, table(rows, environment, time.perf_counter() - start))


def _rows(module: str, *arguments: str) -> list[timing.Row]:
    """Return the output of a script, printed as it comes; a failure becomes a row of the table."""
    command = [sys.executable, "-m", module, *arguments]
    environment = {**FOR_BOTH, **os.environ}
    found = []
    with subprocess.Popen(
        command, cwd=timing.ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("ROW "):
                found.append(json.loads(line.removeprefix("ROW ")))
            else:
                print(line, end="", flush=True)
    if process.returncode:
        found.append({"what": " ".join([module, *arguments]), "note": "failed"})
    return found


def table(rows: list[timing.Row], environment: dict[str, str], seconds: float) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in environment.items())
    lines = [
        f"{machine}. Took {seconds / 60:.0f} min.",
        "",
        "| what | ours | PyTorch | PyTorch / ours | of CPU time | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        seconds_of = dict(row.get("seconds", {}))
        ours = seconds_of.pop("ours", None)
        theirs = "; ".join(f"{name} {value:.3f} s" for name, value in seconds_of.items())
        mine = "" if ours is None else f"{ours:.3f} s"
        ratios = [
            "; ".join(f"{value:.2f}" for value in row.get(key, {}).values())
            for key in ("ratios", "cpu_ratios")
        ]
        cells = [row["what"], mine, theirs, *ratios, row.get("note", "")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(page: Path, text: str) -> None:
    """Replace the text between the two marks, and nothing else.

    Raises:
        ValueError: the page has no such lines.
    """
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r}: put them back")
    with atomic_write(page) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
