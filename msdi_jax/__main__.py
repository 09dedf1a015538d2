"""python -m msdi_jax COMMAND: files in, files out."""

import argparse
import sys
from pathlib import Path

from msdi_jax import command_convert, command_deblur, command_evaluate, report


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except ValueError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m msdi_jax", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command_deblur.add_to(commands)
    command_evaluate.add_to(commands)
    command_convert.add_to(commands)

    page = commands.add_parser("report", help="write a run's report.html anew")
    page.set_defaults(command=lambda o: print(report.write_report(Path(o.run))))
    page.add_argument("run", help="run directory")
    return parser


if __name__ == "__main__":
    main()
