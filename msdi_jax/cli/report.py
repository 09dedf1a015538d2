"""msdi report: write the page about a run again."""

import argparse
from pathlib import Path

from msdi_jax import report


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("report")
    parser.set_defaults(command=lambda options: print(report.write_report(Path(options.run))))
    parser.add_argument("run", help="run directory, or folder that evaluate wrote")
