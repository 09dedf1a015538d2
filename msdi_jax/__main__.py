"""python -m msdi_jax COMMAND: files in, files out."""

import argparse
import sys
from pathlib import Path

from msdi_jax import images, model, report, restore


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except ValueError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m msdi_jax", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    deblur = commands.add_parser("deblur", help="restore a photograph of any size")
    deblur.set_defaults(command=_deblur)
    deblur.add_argument("--model", required=True, help="model directory")
    deblur.add_argument("--input", required=True, help="image file")
    deblur.add_argument("--output", required=True, help="image file to write")
    deblur.add_argument(
        "--protocol",
        choices=restore.MODES,
        default="whole",
        help="in one piece, or in the 256-pixel tiles of the published evaluation",
    )

    page = commands.add_parser("report", help="write a run's report.html anew")
    page.set_defaults(command=lambda o: print(report.write_report(Path(o.run))))
    page.add_argument("run", help="run directory")
    return parser


def _deblur(options: argparse.Namespace) -> None:
    images.check_writable(options.output)
    photograph = images.read(options.input)
    network = model.load(options.model)
    restored = restore.MODES[options.protocol](network.deblur, images.to_unit(photograph))
    images.write(options.output, images.to_uint8(restored))
    print(options.output)


if __name__ == "__main__":
    main()
