"""msdi convert, export, compact, average and summary: commands about weights."""

import argparse
import dataclasses

from flax import nnx

from msdi_jax import models
from msdi_jax.cli import model_options
from msdi_jax.cli.paths import path
from msdi_jax.cli.sizes import sides
from msdi_jax.interop import convert, export, torch_keys, weight_files
from msdi_jax.models import cost


def add_to(commands: argparse._SubParsersAction) -> None:
    _add_convert(commands.add_parser("convert"))
    _add_export(commands.add_parser("export"))
    _add_compact(commands.add_parser("compact"))
    _add_average(commands.add_parser("average"))
    _add_summary(commands.add_parser("summary"))


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_convert)
    parser.add_argument(
        "source",
        type=path,
        help=".pth or .safetensors file; the network is recognised from its keys",
    )
    parser.add_argument("destination", type=path, help="model directory to write")
    parser.add_argument(
        "--key",
        help="entry of the source with the weights, for example params_ema or ema.state_dict; "
        "default: the only one that fits",
    )
    for part in ("encoder", "pyramid"):
        parser.add_argument(f"--{part}", type=path, help=f"file of the {part}, if separate")
    parser.add_argument(
        "--check", action="store_true", help="run a forward pass first and print its statistics"
    )
    parser.add_argument(
        "--verbose", action="store_true", help="list the keys that the network does not use"
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_export)
    parser.add_argument("source", type=path, help="model directory")
    parser.add_argument(
        "destination",
        type=path,
        help="file to write; .pth, .pt or .safetensors: weights; .stablehlo or .onnx: a program",
    )
    parser.add_argument(
        "--size",
        default="256x256",
        help="height and width of the images of a program, or `any`: all multiples of 16; "
        "default: %(default)s",
    )


def _add_compact(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_compact)
    parser.add_argument("source", type=path, help="model directory")
    parser.add_argument("destination", type=path, help="model directory to write")
    parser.add_argument("--licence", help="licence of the weights; default: the source's")
    model_options.add_to(parser)


def _add_average(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_average)
    parser.add_argument("sources", type=path, nargs="+", help="model directories, at least two")
    parser.add_argument("destination", type=path, help="new model directory to write")


def _add_summary(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_summary)
    parser.add_argument("model", type=path, help="model directory")
    parser.add_argument(
        "--size", type=int, default=256, help="side of the image, px; default: %(default)s"
    )


def _summary(options: argparse.Namespace) -> None:
    architecture = models.read_description(options.model).architecture
    never_used = torch_keys.count_never_used(nnx.merge(*architecture.abstract()))
    print(cost.format_table(architecture, options.size, never_used))


def _convert(options: argparse.Namespace) -> None:
    converted = convert.convert(
        options.source,
        options.destination,
        key=options.key,
        encoder=options.encoder,
        pyramid=options.pyramid,
        check=lambda loaded: options.check and print(cost.forward_statistics(loaded)),
    )
    architecture = converted.description.architecture
    version = f", version {architecture.version}" if architecture.version else ""
    entry = f" from {converted.key}" if converted.key else ""
    print(
        f"{options.destination}: {architecture.kind}{version}, width {architecture.width}, "
        f"{converted.arrays} arrays{entry}"
    )
    if converted.unused:
        keys = [f"\n  {key}" for key in converted.unused]
        listed = f":{''.join(keys)}" if options.verbose else "; --verbose lists them"
        print(f"{len(keys)} keys that the network never uses{listed}")
    print(f"licence: {converted.description.licence}")


def _export(options: argparse.Namespace) -> None:
    suffix = options.destination.suffix.lower()
    if suffix in export.FORMATS:
        size = _sides(options.size)
        written = export.export_program(options.source, options.destination, size)
        shape = ", ".join(map(str, size or ("16·h", "16·w")))
        print(f"{options.destination}: {written / 1e6:.1f} MB, (b, {shape}, 3) in [0, 1]")
        if (orientations := models.read_description(options.source).orientations) > 1:
            print(f"one pass: the model is used as the mean of {orientations} orientations")
    elif suffix in weight_files.SUFFIXES:
        count = convert.export(options.source, options.destination)
        print(f"{options.destination}: {count} arrays")
        if lost := model_options.text(models.read_description(options.source)):
            print(
                f"files of weights do not record how the model is used: give {lost} to its reader"
            )
    else:
        raise ValueError(
            f"{options.destination} cannot be written: name a file that ends in .pth or .pt "
            "(PyTorch), .safetensors, .stablehlo or .onnx (programs)"
        )


def _compact(options: argparse.Namespace) -> None:
    models.check_replaceable(options.destination)
    loaded = model_options.as_asked(models.load(options.source), options)
    unused = models.load_unused(options.source)
    description = loaded.description
    if options.licence:
        description = dataclasses.replace(description, licence=options.licence)
    models.save(options.destination, loaded.network, description, unused, as_bfloat16=True)
    size = sum(file.stat().st_size for file in options.destination.iterdir())
    print(f"{options.destination}: {size / 1e6:.1f} MB")


def _average(options: argparse.Namespace) -> None:
    # A forgotten destination would make the last model the destination.
    if options.destination.exists():
        raise ValueError(f"{options.destination} exists: name a new directory at the end")
    if len(options.sources) < 2:
        raise ValueError(f"the average of {options.sources[0]} alone is itself: give two models")
    average = models.average([models.load(source) for source in options.sources])
    models.save(options.destination, average.network, average.description)
    print(options.destination)


def _sides(text: str) -> tuple[int, int] | None:
    if text.lower() == "any":
        return None
    return sides(text, other=", or any")
