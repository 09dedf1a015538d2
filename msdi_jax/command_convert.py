"""The commands about weights: `convert`, `export` and `summary`."""

import argparse

from msdi_jax import convert, model, summary


def add_to(commands: argparse._SubParsersAction) -> None:
    published = commands.add_parser(
        "convert", help="make a model directory from a published PyTorch file"
    )
    published.set_defaults(command=_convert)
    published.add_argument("source", help="PyTorch file; its keys tell which network it is")
    published.add_argument("destination", help="model directory to write")
    published.add_argument("--encoder", help="file of the encoder, for a source without it")
    published.add_argument("--pyramid", help="file of the pyramid, for a source without it")
    published.add_argument(
        "--check", action="store_true", help="run a forward pass first and print what comes out"
    )

    back = commands.add_parser("export", help="make a PyTorch file with the published keys")
    back.set_defaults(command=_export)
    back.add_argument("source", help="model directory")
    back.add_argument("destination", help="PyTorch file to write")

    cost = commands.add_parser("summary", help="count parameters and multiply-accumulates")
    cost.set_defaults(command=lambda o: print(summary.text(model.describe(o.model), o.size)))
    cost.add_argument("model", help="model directory")
    cost.add_argument("--size", type=int, default=256, help="of the image; default: %(default)s")


def _convert(options: argparse.Namespace) -> None:
    found = convert.convert(
        options.source,
        options.destination,
        encoder=options.encoder,
        pyramid=options.pyramid,
        check=lambda loaded: options.check and print(summary.forward_statistics(loaded)),
    )
    what = found.description
    version = f", version {what.version}" if what.version else ""
    print(
        f"{options.destination}: {what.network}{version}, width {what.width}, {found.arrays} arrays"
    )
    if found.unused:
        print(f"{len(found.unused)} keys that the network never uses:")
        print("\n".join(f"  {key}" for key in found.unused))
    print(f"licence: {what.licence}")


def _export(options: argparse.Namespace) -> None:
    count = convert.export(options.source, options.destination)
    print(f"{options.destination}: {count} arrays")
