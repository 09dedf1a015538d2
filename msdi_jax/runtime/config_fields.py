"""Names of configuration fields: those that are paths, that may change, and renamed ones."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

STAGES = ("reblur", "deblur")
# Intervals at which a stage validates and saves; they affect which weights are the best ones.
INTERVALS = tuple(
    f"{stage}.{field}" for stage in STAGES for field in ("val_every", "checkpoint_every")
)
# Fields that are paths, if present and not empty.
PATHS = (
    *(f"dataset.{field}" for field in ("directory", "source", "photographs", "blurry", "sharp")),
    *(f"{stage}.start_from" for stage in STAGES),
    "reblur.vgg_weights",
    "deblur.degradation_from",
    "deblur.features_from",
    "deblur.reblurred_by",
)
# Fields that a resumed run may change: places and intervals, which do not affect a step's result.
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
# Old name → present name.
RENAMED = {
    "native_encoder": "native",
    "local_contrast": "contrast",
    "validation": "val",
    "reblur.twins": "reblur.shared_blur",
    "augmentation.soft": "augmentation.gaussian_blur",
    "augmentation.focus": "augmentation.defocus",
    "augmentation.turned": "augmentation.rotation",
    "augmentation.colours": "augmentation.channel_shuffle",
    "augmentation.sharp": "augmentation.identity",
    **{f"{stage}.held_out_every": f"{stage}.val_every" for stage in STAGES},
    **{f"{stage}.held_out_images": f"{stage}.val_images" for stage in STAGES},
}


def unknown_field_message(path: str, known: Iterable[str] = ()) -> str:
    """Return the error message for a field that the configuration does not have.

    Args:
        path: of the field, "deblur.crop"; for a renamed field, the last part is enough.
        known: paths of the fields that the configuration has, to suggest the closest one.
    """
    renamed = [
        f"--config.{old} is now called --config.{new}"
        for old, new in RENAMED.items()
        if f".{old}".endswith(f".{path}")
    ]
    if renamed:
        return "; ".join(renamed)
    close = difflib.get_close_matches(path, known, n=1)
    hint = (
        f"did you mean --config.{close[0]}?"
        if close
        else "`msdi train --help-config` prints all fields"
    )
    return f"--config.{path} is not a field of this configuration: {hint}"


def flattened(config: Mapping, path: str = "") -> dict[str, Any]:
    """Return path of a field, such as "deblur.crop" → value."""
    values = {}
    for key, value in config.items():
        name = f"{path}.{key}".lstrip(".")
        values |= flattened(value, name) if isinstance(value, Mapping) else {name: value}
    return values


def of_what_is_computed(config: Mapping) -> dict[str, Any]:
    """Return the `flattened` fields that affect results, without those that are off.

    Fields that are off are left out, so that runs recorded before a field existed compare as equal.
    """
    values = flattened(config).items()
    return {name: value for name, value in values if value and not name.startswith(MAY_CHANGE)}
