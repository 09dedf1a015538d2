"""msdi report: write the page about a run again."""

import argparse

from msdi_jax import report
from msdi_jax.cli.paths import path


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("report")
    parser.set_defaults(command=lambda options: print(report.write_report(options.run)))
    parser.add_argument("run", type=path, help="run directory, or folder that evaluate wrote")
