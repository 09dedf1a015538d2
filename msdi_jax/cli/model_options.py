"""Options of the commands that use a network.

The defaults are those of the model, see `models.Description`.
"""

import argparse

from msdi_jax.cli.paths import path
from msdi_jax.models import BUNDLED, DEBLURRING, Description, Model
from msdi_jax.models.self_ensemble import ORIENTATIONS
from msdi_jax.networks import local_statistics


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add --model, by default the bundled model."""
    parser.add_argument(
        "--model",
        type=path,
        default=BUNDLED,
        help="model or run directory; default: the bundled model",
    )


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add --ensemble and --window."""
    parser.add_argument(
        "--ensemble",
        type=int,
        nargs="?",
        choices=ORIENTATIONS,
        const=max(ORIENTATIONS),
        help="average this many orientations: 2 adds the image upside down, 4 the quarter turns, "
        "8 all the others; that many times slower than 1; without a number: 8; default: the "
        "model's",
    )
    parser.add_argument(
        "--window",
        type=int,
        metavar="PX",
        help="side of the windows in which instance norms take their statistics, somewhat more "
        "than the training crops; 0: the whole image; default: the model's",
    )


def asked(options: argparse.Namespace) -> dict[str, int]:
    """Return the given options by their names."""
    values = {name: getattr(options, name) for name in ("ensemble", "window")}
    return {name: value for name, value in values.items() if value is not None}


def as_asked(network: Model, options: argparse.Namespace) -> Model:
    """Return the model with the given options.

    Raises:
        ValueError: for a window that is too small, and for a network that does not deblur.
    """
    values = asked(options)
    name = network.architecture.kind
    if values and name not in DEBLURRING:
        names = " and ".join(f"--{option}" for option in values)
        raise ValueError(f"a {name} model does not deblur: leave out {names}")
    changes = {}
    if "ensemble" in values:
        changes["orientations"] = values["ensemble"]
    if "window" in values:
        local_statistics.check(values["window"], "--window")
        changes["window"] = values["window"] or None
    return network.using(**changes) if changes else network


def text(description: Description) -> str:
    """Return the options that equal the settings of `description`; "" for the defaults."""
    options = []
    if description.orientations > 1:
        options.append(f"--ensemble {description.orientations}")
    if description.window:
        options.append(f"--window {description.window}")
    return " ".join(options)
