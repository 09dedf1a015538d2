"""How a network is used, as options of the commands that use one.

What is not asked for is as the model says, see `model.Description`.
"""

import argparse

from msdi_jax.models import self_ensemble
from msdi_jax.models.model import DEBLURRING, Description, Model
from msdi_jax.networks import local_statistics


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ensemble",
        type=int,
        nargs="?",
        choices=self_ensemble.ORIENTATIONS,
        const=max(self_ensemble.ORIENTATIONS),
        help="mean over the image and itself upside down (2), these and their quarter turns (4), "
        "or all eight orientations (8, if no number is given): as many times slower than the image "
        "alone (1); default: as the model says",
    )
    parser.add_argument(
        "--window",
        type=int,
        metavar="PX",
        help="side of the windows that instance norms take their statistics in, somewhat more than "
        "the training crops; 0: the whole image; default: as the model says",
    )


def asked(options: argparse.Namespace) -> dict[str, int]:
    """What the options ask for, by their names."""
    given = {name: getattr(options, name) for name in ("ensemble", "window")}
    return {name: value for name, value in given.items() if value is not None}


def as_asked(network: Model, options: argparse.Namespace) -> Model:
    """The model used as the options say.

    Raises:
        ValueError: for what is no window, and options for a network that deblurs nothing.
    """
    given = asked(options)
    name = network.description.network
    if given and name not in DEBLURRING:
        told = " and ".join(f"--{option}" for option in given)
        raise ValueError(f"a {name} model deblurs nothing that {told} could be for: leave it out")
    changes = {}
    if "ensemble" in given:
        changes["orientations"] = given["ensemble"]
    if "window" in given:
        local_statistics.check(given["window"], "--window")
        changes["window"] = given["window"] or None
    return network.using(**changes) if changes else network


def text(description: Description) -> str:
    """The options that ask for what the description says; empty where it says nothing."""
    options = []
    if description.orientations > 1:
        options.append(f"--ensemble {description.orientations}")
    if description.window:
        options.append(f"--window {description.window}")
    return " ".join(options)
