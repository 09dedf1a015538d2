"""msdi reblur: interpolate, transfer and show degradation representations, and make pairs."""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from msdi_jax import models
from msdi_jax.cli import model_options, photographs
from msdi_jax.cli.paths import path
from msdi_jax.research import augmentation, transfer
from msdi_jax.restoration import image_io
from msdi_jax.runtime.json_text import to_json

# Milliseconds per frame of the animation.
FRAME_MS = 120
# Files that `interpolate` writes.
STRIP, ANIMATION, CURVE, CURVE_PLOT = "strip.png", "levels.gif", "curve.json", "curve.png"
GAP = 8


def add_to(commands) -> None:
    actions = commands.add_parser("reblur").add_subparsers(required=True, metavar="ACTION")

    between = actions.add_parser(
        "interpolate", help="blur a sharp photograph at several levels of another photograph's blur"
    )
    between.set_defaults(command=_interpolate)
    between.add_argument("--sharp", type=path, required=True, help="photograph to blur")
    between.add_argument(
        "--blurry", type=path, required=True, help="photograph whose blur is level 1"
    )
    between.add_argument(
        "--start", type=path, help="photograph whose blur is level 0; default: the sharp one"
    )
    between.add_argument("--levels", type=int, default=7, help="default: %(default)s")
    between.add_argument(
        "--beyond", type=float, default=1.5, help="the highest level; default: %(default)s"
    )
    _add_common(between, "folder to write strip.png, levels.gif, curve.png and curve.json to")

    move = actions.add_parser(
        "transfer", help="apply the blur of every blurry photograph to every sharp one"
    )
    move.set_defaults(command=_transfer)
    move.add_argument(
        "--blurry", type=path, required=True, nargs="+", help="photographs to take blur from"
    )
    move.add_argument("--sharp", type=path, required=True, nargs="+", help="photographs to blur")
    _add_common(
        move,
        "image file to write, a grid: sharp ones in the first row, blurry ones at the left",
    )

    look = actions.add_parser("maps", help="show the representation and its four maps as colours")
    look.set_defaults(command=_maps)
    look.add_argument("--input", type=path, required=True, help="photograph")
    _add_common(look, "image file to write")
    _add_augment(actions)


def _add_augment(actions) -> None:
    pairs = actions.add_parser(
        "augment", help="apply the blur of blurry photographs to sharp ones, as pairs to train on"
    )
    pairs.set_defaults(command=_augment)
    pairs.add_argument(
        "--blurry", type=path, required=True, help="folder of photographs to take blur from"
    )
    pairs.add_argument("--sharp", type=path, required=True, help="folder of photographs to blur")
    fields = augmentation.Settings()
    add_pairs(pairs, fields.pairs)
    pairs.add_argument(
        "--strengths",
        type=float,
        nargs=2,
        default=(fields.weakest, fields.strongest),
        metavar=("FROM", "TO"),
        help="range of the blur's strength: 0 is the sharp photograph's own, 1 the blurry one's; "
        "default: %(default)s",
    )
    pairs.add_argument("--seed", type=int, default=fields.seed, help="default: %(default)s")
    _add_common(pairs, "folder to write the pairs to, or to continue")


def _add_common(parser: argparse.ArgumentParser, output: str) -> None:
    model_options.add_model(parser)
    parser.add_argument("--output", type=path, required=True, help=output)
    add_longest_side(parser)


def add_longest_side(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--longest-side",
        type=int,
        default=augmentation.Settings().longest_side,
        help="larger photographs are first reduced to this, px; default: %(default)s",
    )


def add_pairs(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument(
        "--pairs",
        type=int,
        default=default,
        help="pairs of each sharp photograph; default: %(default)s",
    )


def _interpolate(options: argparse.Namespace) -> None:
    if options.levels < 2 or options.beyond <= 0:
        raise ValueError(
            f"--levels {options.levels} must be at least 2, --beyond {options.beyond:g} above 0"
        )
    joint = load_joint(options.model)
    sharp, blurry = (_read(file, options) for file in (options.sharp, options.blurry))
    start = _read(options.start, options) if options.start else None
    folder = options.output
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: name a folder")
    given = {file.resolve() for file in (options.sharp, options.blurry, options.start) if file}
    for name in (STRIP, ANIMATION, CURVE, CURVE_PLOT):
        photographs.check_no_input(folder / name, given)
    alphas = np.linspace(0, options.beyond, options.levels)
    *levels, end = transfer.interpolate(joint, sharp, blurry, [*alphas, 1], start=start)
    _warn_if_sharper(levels[0], end)
    folder.mkdir(parents=True, exist_ok=True)
    frames = [image_io.to_uint8(level) for level in levels]
    image_io.write(folder / STRIP, _row(frames))
    _write_animation(folder / ANIMATION, frames)
    _write_curve(folder, alphas, levels, sharp)
    print(folder)


def _warn_if_sharper(zero: transfer.Image, one: transfer.Image) -> None:
    """Warn about levels that run backwards, given those of α = 0 and α = 1."""
    if (energies := transfer.sharpened(zero, one)) is None:
        return
    print(
        f"warning: the picture gets sharper with α: its gradient energy is {energies[0]:.3g} at "
        f"α=0 and {energies[1]:.3g} at α=1; the model reads less blur in --blurry than in --start, "
        "by default the sharp photograph: give a blurrier --blurry, or a sharper --start",
        file=sys.stderr,
    )


def _transfer(options: argparse.Namespace) -> None:
    joint = load_joint(options.model)
    _check_output(options.output, *options.blurry, *options.sharp)
    blurry, sharp = (
        [_read(file, options) for file in files] for files in (options.blurry, options.sharp)
    )
    grid = transfer.transfer(joint, blurry, sharp)
    side = min(min(image.shape[:2]) for image in blurry + sharp)
    blank = np.ones((side, side, 3), np.float32)
    rows = [[blank, *sharp], *([source, *row] for source, row in zip(blurry, grid, strict=True))]
    cells = [[image_io.to_uint8(_square(cell, side)) for cell in row] for row in rows]
    image_io.write(options.output, _column([_row(row) for row in cells]))
    print(options.output)


def _maps(options: argparse.Namespace) -> None:
    # The joint network first, as in the other commands of this file and in `probe`.
    network = models.load(models.find(options.model, *models.DIRECTORIES.values()))
    _check_output(options.output, options.input)
    picture = _read(options.input, options)
    views = transfer.views_of(network, picture)
    shown = [picture, *(transfer.laid_over(view, picture) for view in views.values())]
    tiles = [image_io.to_uint8(tile) for tile in shown]
    image_io.write(options.output, _column([_row(tiles[:3]), _row(tiles[3:])]))
    print(f"{options.output}: photograph, {', '.join(views)}")


def _augment(options: argparse.Namespace) -> None:
    weakest, strongest = options.strengths
    settings = augmentation.Settings(
        pairs=options.pairs,
        weakest=weakest,
        strongest=strongest,
        longest_side=options.longest_side,
        seed=options.seed,
    )
    blurry, sharp = (images_in(folder) for folder in (options.blurry, options.sharp))
    joint = load_joint(options.model)
    provenance = dataclasses.asdict(joint.description)
    table = augmentation.write_pairs(joint, blurry, sharp, options.output, settings, provenance)
    print(f"{table}: {settings.pairs * len(sharp)} pairs; to train on them, first run")
    print(f"    msdi prepare pairs --from {shlex.quote(str(table))}")


def images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: give one that holds photographs")
    return image_io.below(folder)


def _check_output(output: Path, *inputs: Path) -> None:
    image_io.check_writable(output)
    photographs.check_no_input(output, {file.resolve() for file in inputs})


def load_joint(directory: Path) -> models.Model:
    """Load the joint network at `directory`, also of a run that holds both networks."""
    loaded = models.load(models.find(directory, models.DIRECTORIES["reblur"]))
    if not loaded.architecture.reblurs:
        raise ValueError(
            f"{directory} holds a {loaded.architecture.kind} model, which has no reblurring "
            "branch: give a joint network, the `model-reblur` of a run of stage 1"
        )
    return loaded


def _read(file: Path, options: argparse.Namespace) -> transfer.Image:
    if options.longest_side < 1:
        raise ValueError(f"--longest-side {options.longest_side} must be at least 1 px")
    return augmentation.read(file, options.longest_side)


def _square(image: transfer.Image, side: int) -> transfer.Image:
    """Crop the centre square of an image and resize it."""
    height, width, _ = image.shape
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    middle = image_io.to_uint8(image[top : top + short, left : left + short])
    return image_io.to_unit(np.array(Image.fromarray(middle).resize((side, side))))


def _row(frames: Sequence[np.ndarray]) -> np.ndarray:
    return _joined(frames, axis=1)


def _column(frames: Sequence[np.ndarray]) -> np.ndarray:
    return _joined(frames, axis=0)


def _joined(frames: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(frames[0].shape)
    shape[axis] = GAP
    white = np.full(shape, 255, np.uint8)
    parts = [part for frame in frames for part in (white, frame)][1:]
    return np.concatenate(parts, axis=axis)


def _write_animation(file: Path, frames: Sequence[np.ndarray]) -> None:
    """Write the frames forwards and backwards, in an endless loop."""
    pictures = [Image.fromarray(frame) for frame in (*frames, *frames[-2:0:-1])]
    pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=FRAME_MS, loop=0)


def _write_curve(
    folder: Path, alphas: np.ndarray, levels: Sequence[np.ndarray], sharp: np.ndarray
) -> None:
    # Infinite where a level equals the sharp photograph.
    with np.errstate(divide="ignore"):
        psnr = [float(-10 * np.log10(np.mean((level - sharp) ** 2))) for level in levels]
    curve = {
        "alpha": alphas.tolist(),
        "gradient_energy": [transfer.gradient_energy(level) for level in levels],
        "psnr": psnr,
    }
    (folder / CURVE).write_text(to_json(curve, indent=2) + "\n")
    # Imported here: it takes a second.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    energy = figure.subplots()
    energy.plot(curve["alpha"], curve["gradient_energy"], "o-", color="tab:blue")
    energy.set(xlabel="level α", ylabel="gradient energy")
    energy.yaxis.label.set_color("tab:blue")
    quality = energy.twinx()
    quality.plot(curve["alpha"], curve["psnr"], "s--", color="tab:orange")
    quality.set_ylabel("PSNR to the sharp photograph, dB", color="tab:orange")
    figure.savefig(folder / CURVE_PLOT, dpi=120)
