"""Fields of a configuration that say what is computed, and those that say where and how often."""

from collections.abc import Iterable, Mapping
from typing import Any

STAGES = ("reblur", "deblur")
# When the steps of a stage are looked at, which decides which weights are the best ones.
INTERVALS = tuple(
    f"{stage}.{field}" for stage in STAGES for field in ("val_every", "checkpoint_every")
)
# Fields that a repeated run may change: where and how often, never what is computed.
MAY_CHANGE = (
    "mesh",
    "checkpoints",
    "evaluation",
    "skip_damaged",
    "dataset.directory",
    "dataset.source",
    *INTERVALS,
    *(f"{stage}.{field}" for stage in STAGES for field in ("log_every", "skip_nonfinite")),
)


def flattened(config: Mapping, path: str = "") -> dict[str, Any]:
    """The values by their fields' paths, "deblur.crop"."""
    found = {}
    for key, value in config.items():
        name = f"{path}.{key}".lstrip(".")
        found |= flattened(value, name) if isinstance(value, Mapping) else {name: value}
    return found


def of_what_is_computed(config: Mapping) -> dict[str, Any]:
    """`flattened`, without what a repeated run may change and what is off.

    Runs of earlier versions lack fields that are younger than they are, and off by default.
    """
    values = flattened(config).items()
    return {name: value for name, value in values if value and not name.startswith(MAY_CHANGE)}


def unknown_field_message(path: str, known: Iterable[str] = ()) -> str:
    """Return the error for `path`, "deblur.crop", which the configuration does not have."""
    return f"--config.{path} is not a field: `msdi train --help-config` prints all fields"
