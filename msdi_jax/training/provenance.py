"""Descriptions of the networks that a run trains: origin, licence and settings of use."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import ml_collections

from msdi_jax import models
from msdi_jax.models import Architecture, Description
from msdi_jax.models.description import joined_licences
from msdi_jax.research import augmentation
from msdi_jax.training.sources import find_sources

LICENCE = "as the photographs it was trained on allow"


def describe_network(name: str, config: ml_collections.ConfigDict, workdir: Path) -> Description:
    """Describe the network that stage `name` of a run is about to train.

    Raises:
        ValueError: a model that it takes weights from is missing.
    """
    sources = find_sources(name, config, workdir)
    origins = {key: models.read_description(path) for key, path in sources.items()}
    used = restoration_settings(config, origins.get("start")) if name == "deblur" else {}
    # The same model twice is recorded once.
    for other in ("joint", "start"):
        if origins.get("degradation") == origins.get(other):
            origins.pop("degradation", None)
    return Description(
        Architecture.from_config(config, name),
        provenance={"dataset": config.dataset.name, "seed": config.seed}
        | _reblurred_pairs(config.dataset)
        | {f"{key}_from": origin.provenance for key, origin in origins.items()},
        licence=joined_licences([LICENCE, *(origin.licence for origin in origins.values())]),
        **used,
    )


def _reblurred_pairs(dataset: ml_collections.ConfigDict) -> dict[str, Any]:
    """Return the record of pairs that `msdi reblur augment` or `msdi adapt` made, if it did."""
    table = Path(dataset.get("source") or "")
    record = table.parent / augmentation.PROVENANCE
    if table.name != augmentation.TABLE or not record.is_file():
        return {}
    return {"reblurred_pairs": json.loads(record.read_text())}


def at_step(description: Description, step: int, kind: str) -> Description:
    """Add the date, the step of the weights, and their kind: "last", "ema" or "best"."""
    weights = {"trained": time.strftime("%Y-%m-%d"), "steps": step, "weights": kind}
    provenance = weights | description.provenance
    return dataclasses.replace(description, provenance=provenance)


def restoration_settings(
    config: ml_collections.ConfigDict, start: Description | None
) -> dict[str, Any]:
    """Return the settings of use of a run's deblurring network, as fields of `Description`.

    `config.evaluation` sets them. A field that is None there comes from `start`, or else has the
    published value.
    """
    settings = {key: config.evaluation[key] for key in ("window", "orientations")}
    if start:
        settings = {k: getattr(start, k) if v is None else v for k, v in settings.items()}
    return {"window": settings["window"] or None, "orientations": settings["orientations"] or 1}
