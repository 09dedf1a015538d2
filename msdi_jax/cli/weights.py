"""The commands about weights: `convert`, `export`, `compact`, `mean` and `summary`."""

import argparse
import dataclasses
from pathlib import Path

from flax import nnx

from msdi_jax import models
from msdi_jax.cli import model_options
from msdi_jax.interop import convert, export, torch_keys
from msdi_jax.models import cost


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

    back = commands.add_parser(
        "export", help="make a PyTorch file with the published keys, or a StableHLO or ONNX program"
    )
    back.set_defaults(command=_export)
    back.add_argument("source", help="model directory")
    back.add_argument(
        "destination", help="file to write; its ending says what: .pth, .pt, .stablehlo or .onnx"
    )
    back.add_argument(
        "--size",
        default="256x256",
        help="height and width that a program takes; default: %(default)s",
    )

    small = commands.add_parser(
        "compact", help="copy a model directory at a third of its size, rounded to bfloat16"
    )
    small.set_defaults(command=_compact)
    small.add_argument("source", help="model directory")
    small.add_argument("destination", help="model directory to write")
    small.add_argument("--licence", help="of the weights; default: as the model says")
    model_options.add_to(small)

    mixed = commands.add_parser(
        "mean", help="average the weights of models that were trained on from one another"
    )
    mixed.set_defaults(command=_mean)
    mixed.add_argument("sources", nargs="+", help="model directories, two at least")
    mixed.add_argument("destination", help="new model directory to write")

    summary = commands.add_parser("summary", help="count parameters and multiply-accumulates")
    summary.set_defaults(command=_summary)
    summary.add_argument("model", help="model directory")
    summary.add_argument("--size", type=int, default=256, help="of the image; default: %(default)s")


def _summary(options: argparse.Namespace) -> None:
    architecture = models.read_description(options.model).architecture
    never_used = torch_keys.count_never_used(nnx.merge(*architecture.abstract()))
    print(cost.format_table(architecture, options.size, never_used))


def _convert(options: argparse.Namespace) -> None:
    found = convert.convert(
        options.source,
        options.destination,
        encoder=options.encoder,
        pyramid=options.pyramid,
        check=lambda loaded: options.check and print(cost.forward_statistics(loaded)),
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
    suffix = Path(options.destination).suffix.lower()
    if suffix in export.FORMATS:
        height, width = _sides(options.size)
        size = export.export_program(options.source, options.destination, height, width)
        print(f"{options.destination}: {size / 1e6:.1f} MB, (b, {height}, {width}, 3) in [0, 1]")
        if (orientations := models.read_description(options.source).orientations) > 1:
            print(f"one pass, of whose {orientations} orientations the model takes the mean")
    elif suffix in (".pth", ".pt"):
        count = convert.export(options.source, options.destination)
        print(f"{options.destination}: {count} arrays")
        if lost := model_options.text(models.read_description(options.source)):
            print(f"such files do not say how the model is used: give {lost} to what reads it")
    else:
        raise ValueError(
            f"{options.destination} cannot be written: name a file that ends in .pth or .pt "
            "(PyTorch), .stablehlo or .onnx (programs)"
        )


def _compact(options: argparse.Namespace) -> None:
    models.check_replaceable(Path(options.destination))
    loaded = model_options.as_asked(models.load(options.source), options)
    unused = models.load_unused(options.source)
    description = loaded.description
    if options.licence:
        description = dataclasses.replace(description, licence=options.licence)
    models.save(options.destination, loaded.network, description, unused, as_bfloat16=True)
    size = sum(file.stat().st_size for file in Path(options.destination).iterdir())
    print(f"{options.destination}: {size / 1e6:.1f} MB")


def _mean(options: argparse.Namespace) -> None:
    # Of models alone, the last is no destination that was meant.
    if Path(options.destination).exists():
        raise ValueError(f"{options.destination} exists: name a new directory at the end")
    if len(options.sources) < 2:
        raise ValueError(f"the mean of {options.sources[0]} alone is itself: give two models")
    found = models.average([models.load(source) for source in options.sources])
    models.save(options.destination, found.network, found.description)
    print(options.destination)


def _sides(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ValueError(f"--size {text} must be HEIGHTxWIDTH in pixels, for example 720x1280")
    return int(height), int(width)
