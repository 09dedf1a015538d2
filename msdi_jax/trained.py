"""What a trained network says of itself: where it comes from, whose it is, how it is used."""

import time
from pathlib import Path
from typing import Any

import ml_collections

from msdi_jax import deblur, model, reblur
from msdi_jax.model import DIRECTORIES, Description, find

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


def describe(
    name: str, config: ml_collections.ConfigDict, workdir: Path, *, kind: str, step: int
) -> Description:
    """Of the network that the stage `name` of a run made.

    Args:
        name: of the stage.
        config: of the run.
        workdir: of the run.
        kind: of the weights.
        step: that they are of.
    """
    network = "joint" if name == "reblur" else {1: "msdi_net", 2: "msdi2_net"}[config.version]
    origins = _origins(name, config, workdir)
    return Description(
        network=network,
        **(reblur if name == "reblur" else deblur).form(config),
        provenance={
            "trained": time.strftime("%Y-%m-%d"),
            "steps": step,
            "weights": kind,
            "dataset": config.dataset.name,
            "seed": config.seed,
        }
        | {key: origin.provenance for key, origin in origins.items()},
        licence="; ".join(dict.fromkeys([LICENCE, *(o.licence for o in origins.values())])),
        native=config.native_encoder,
        contrast=config.local_contrast,
        **(usage(config) if name == "deblur" else {}),
    )


def _origins(name: str, config: ml_collections.ConfigDict, workdir: Path) -> dict[str, Description]:
    found = sources(name, config, workdir)
    if found.get("degradation") == found.get("start"):
        found.pop("degradation", None)
    return {f"{key}_from": model.describe(path) for key, path in found.items()}


def usage(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """How the deblurring network of a run is used, by the names of `Description`.

    As `config.evaluation` says; what it leaves open is as with the network that it started from.
    """
    path, settings = config.deblur.start_from, config.evaluation
    start = model.describe(find(path, DIRECTORIES["deblur"])) if path else None
    found = {"window": settings.window, "orientations": settings.orientations}
    if start:
        found = {key: getattr(start, key) if x is None else x for key, x in found.items()}
    return {"window": found["window"] or None, "orientations": found["orientations"] or 1}
