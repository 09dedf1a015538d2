"""What a trained network says of itself: where it comes from, whose it is, how it is used."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import ml_collections

from msdi_jax.models import model
from msdi_jax.models.model import DIRECTORIES, Description, find
from msdi_jax.training import stage1_reblur, stage2_deblur

LICENCE = "as the photographs it was trained on allow"


def sources(name: str, config: ml_collections.ConfigDict, workdir: Path) -> dict[str, Path]:
    """The model directories that the stage `name` takes weights from.

    "start" is what training goes on from; "degradation", of stage 2, has the encoder: the one that
    `config` names, or this run's own. Without it, the start's serves.
    """
    found = {}
    if path := config[name].start_from:
        found["start"] = find(path, DIRECTORIES[name])
    if name == "deblur":
        own = "reblur" in config.stages
        path = workdir / DIRECTORIES["reblur"] if own else config.deblur.degradation_from
        if path:
            found["degradation"] = find(path, *DIRECTORIES.values())
    return found


def describe(name: str, config: ml_collections.ConfigDict, workdir: Path) -> Description:
    """Of the network that the stage `name` of a run is about to make.

    Args:
        name: of the stage.
        config: of the run.
        workdir: of the run.

    Raises:
        ValueError: when a model that it takes weights from is not there.
    """
    network = "joint" if name == "reblur" else {1: "msdi_net", 2: "msdi2_net"}[config.version]
    origins = {key: model.describe(path) for key, path in sources(name, config, workdir).items()}
    used = usage(config, origins.get("start")) if name == "deblur" else {}
    # Twice the same is told once.
    if origins.get("degradation") == origins.get("start"):
        origins.pop("degradation", None)
    return Description(
        network=network,
        **(stage1_reblur if name == "reblur" else stage2_deblur).form(config),
        provenance={"dataset": config.dataset.name, "seed": config.seed}
        | {f"{key}_from": origin.provenance for key, origin in origins.items()},
        licence=model.joined_licences([LICENCE, *(o.licence for o in origins.values())]),
        native=config.native,
        contrast=config.contrast,
        **used,
    )


def at_step(description: Description, step: int, kind: str) -> Description:
    """With what is known when it is made: when, of which step its weights are, and which kind."""
    made = {"trained": time.strftime("%Y-%m-%d"), "steps": step, "weights": kind}
    provenance = made | description.provenance
    return dataclasses.replace(description, provenance=provenance)


def usage(config: ml_collections.ConfigDict, otherwise: Description | None) -> dict[str, Any]:
    """How the deblurring network of a run is used, by the names of `Description`.

    As `config.evaluation` says, and what it leaves open as `otherwise` does, or else as published.
    """
    asked = {key: config.evaluation[key] for key in ("window", "orientations")}
    if otherwise:
        asked = {key: getattr(otherwise, key) if x is None else x for key, x in asked.items()}
    return {"window": asked["window"] or None, "orientations": asked["orientations"] or 1}
