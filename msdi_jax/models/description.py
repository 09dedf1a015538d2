"""The content of `model.json`: a network's architecture, origin, licence and settings of use."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msdi_jax.models.architecture import Architecture
from msdi_jax.models.self_ensemble import ORIENTATIONS
from msdi_jax.networks import local_statistics


@dataclasses.dataclass(frozen=True)
class Description:
    """A network's architecture, origin, licence and settings of use.

    Attributes:
        architecture: see `Architecture`.
        provenance: origin of the weights.
        licence: of the weights.
        window: side of the windows, px of the image, over which half instance norms take their
            statistics in use, see `networks.local_statistics`; None: the whole image.
        orientations: number of orientations in which images are restored, see `self_ensemble`.
    """

    architecture: Architecture
    provenance: dict[str, Any]
    licence: str
    window: int | None = None
    orientations: int = 1

    def check(self) -> None:
        """Raise ValueError if the architecture or a setting of use is impossible."""
        self.architecture.check()
        local_statistics.check(self.window or 0, "window")
        if self.orientations not in ORIENTATIONS:
            raise ValueError(f"orientations {self.orientations!r} must be one of {ORIENTATIONS}")

    def to_json(self) -> str:
        fields = dataclasses.asdict(self)
        known = {key: value for key, value in fields["architecture"].items() if value is not None}
        return json.dumps(fields | {"architecture": known}, indent=2, ensure_ascii=False) + "\n"


def read_model_json(file: Path) -> Description:
    """Read a `model.json`.

    Raises:
        ValueError: the file is damaged, or describes no network of this project; names the file.
    """
    try:
        fields = json.loads(file.read_text())
        description = Description(Architecture(**fields.pop("architecture")), **fields)
        description.check()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    return description


def joined_licences(licences: Sequence[str]) -> str:
    """Join licences, without repetitions."""
    return "; ".join(dict.fromkeys(part for licence in licences for part in licence.split("; ")))
