"""python -m msdi_jax COMMAND: files in, files out."""

import argparse
import sys
from pathlib import Path

from msdi_jax import report
from msdi_jax.cli import deblur, evaluate, prepare, probe, reblur, table, weights
from msdi_jax.runtime import processes
from msdi_jax.runtime.compilation import keep_programs


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped: the same command starts again, or goes on where it keeps its results")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m msdi_jax", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    deblur.add_to(commands)
    reblur.add_to(commands)
    probe.add_to(commands)
    evaluate.add_to(commands)
    table.add_to(commands)
    weights.add_to(commands)
    prepare.add_to(commands)

    page = commands.add_parser("report", help="write a run's report.html anew")
    page.set_defaults(command=lambda o: print(report.write_report(Path(o.run))))
    page.add_argument("run", help="run directory, or folder that evaluate wrote")
    return parser


if __name__ == "__main__":
    processes.print_anywhere()
    keep_programs()
    main()
