"""msdi adapt: train a deblurring model on the blur of photographs without sharp partners."""

import argparse
import dataclasses
import shlex
from pathlib import Path

from msdi_jax import models
from msdi_jax.cli import experiment, reblur, train
from msdi_jax.cli.paths import path
from msdi_jax.data import photographs
from msdi_jax.research import augmentation
from msdi_jax.restoration import image_io

CONFIG = "adapt"
EPILOG = """\
examples:
  msdi adapt --blurry MINE --workdir runs/mine
  msdi adapt --blurry MINE --sharp SHARP --workdir runs/mine --config.deblur.steps=1000

WORKDIR/pairs holds sharp photographs with the blur of yours, WORKDIR/prepared the data set of them,
WORKDIR/run the training on it with its report. Repeating the command resumes it.
"""


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "adapt",
        usage="msdi adapt --blurry FOLDER --workdir DIRECTORY [--config.FIELD=VALUE ...]",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run, overrides=[])
    parser.add_argument(
        "--blurry", type=path, required=True, help="folder of photographs with the blur to adapt to"
    )
    parser.add_argument(
        "--sharp",
        type=path,
        help="folder of sharp photographs to blur; default: the five of scikit-image",
    )
    parser.add_argument(
        "--model",
        type=path,
        default=models.BUNDLED,
        help="deblurring model to start from; default: the bundled model",
    )
    parser.add_argument(
        "--joint",
        type=path,
        default=models.BUNDLED,
        help="joint network that reblurs; default: the bundled one",
    )
    reblur.add_pairs(parser, default=8)
    reblur.add_longest_side(parser)
    parser.add_argument("--workdir", type=path, required=True, help="folder to make, or to resume")


def run(options: argparse.Namespace) -> None:
    """Make the pairs, then run `msdi train` on them.

    Raises:
        ValueError: before anything is written, for photographs, models or fields that cannot be
            used.
    """
    from msdi_jax.training.run import check_config

    settings = augmentation.Settings(pairs=options.pairs, longest_side=options.longest_side)
    table = options.workdir / "pairs" / augmentation.TABLE
    overrides = [*_fields(options.model, table), *options.overrides]
    config = experiment.load(CONFIG, overrides)
    check_config(config)
    blurry, sharp = reblur.images_in(options.blurry), _sharp(options.sharp)
    _check_sizes(sharp, config.deblur.crop, settings.longest_side)
    joint = reblur.load_joint(options.joint)
    record = dataclasses.asdict(joint.description)
    augmentation.write_pairs(joint, blurry, sharp, table.parent, settings, record)
    workdir = options.workdir / "run"
    command = ["msdi", "train", f"--config={CONFIG}", f"--workdir={workdir}", *overrides]
    print(shlex.join(command), flush=True)
    alone = {"coordinator": None, "num_processes": None, "process_id": None}
    train.run(argparse.Namespace(config=CONFIG, workdir=workdir, overrides=overrides, **alone))
    inputs = shlex.quote(str(options.blurry))
    print(f"to restore yours: msdi deblur --model {shlex.quote(str(workdir))} --input {inputs} ...")


def _fields(model: Path, table: Path) -> list[str]:
    """Return the overrides that name the pairs and the model, with its architecture."""
    start = models.find(model, models.DIRECTORIES["deblur"])
    fields = {
        "dataset.source": table,
        "dataset.directory": table.parent.with_name("prepared"),
        "deblur.start_from": model,
        **models.read_description(start).architecture.config_overrides(),
    }
    return [f"--config.{field}={value}" for field, value in fields.items()]


def _sharp(folder: Path | None) -> list[Path]:
    if folder:
        return reblur.images_in(folder)
    embedded = photographs.embedded()
    return [photograph.path for photograph in embedded.train + embedded.test]


def _check_sizes(sharp: list[Path], crop: int, longest_side: int) -> None:
    """Raise ValueError for a photograph that no training crop fits into."""
    for file in sharp:
        sides = image_io.read_size(file)
        shorter = int(min(sides) * min(1, longest_side / max(sides)))
        if shorter < crop:
            raise ValueError(
                f"the shorter side of {file} is {shorter} px, reduced to --longest-side "
                f"{longest_side}, less than the {crop} px of a crop: remove it, raise "
                "--longest-side, or lower --config.deblur.crop"
            )
