"""Which configuration and which data a run directory belongs to."""

import json
from pathlib import Path

import ml_collections

from msdi_jax.runtime.atomic_write import atomic_write
from msdi_jax.runtime.checkpoint import check_place
from msdi_jax.runtime.config_fields import MAY_CHANGE, flattened

# Names the prepared set that the run is trained on.
DATA = "dataset.txt"


def check_configuration(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Raise ValueError unless `workdir` is new, empty, or a run of `config`."""
    check_place(workdir)
    file = workdir / "config.json"
    if not file.exists():
        # The lock, and leftovers of a process that was killed while it wrote.
        if workdir.exists() and any(not p.name.startswith(".") for p in workdir.iterdir()):
            raise ValueError(f"{workdir} is not empty and no run directory: choose another")
        return
    before, now = (flattened(json.loads(text)) for text in (file.read_text(), config.to_json()))
    differences = [
        f"{field}: {before.get(field)!r} there, {now.get(field)!r} here"
        for field in sorted(before.keys() | now.keys())
        if before.get(field) != now.get(field) and not field.startswith(MAY_CHANGE)
    ]
    if differences:
        raise ValueError(
            f"{workdir} belongs to a run of another configuration:\n  "
            + "\n  ".join(differences)
            + "\nchoose another --workdir, or delete this one to start again"
        )


def check_data(configuration: str, workdir: Path) -> None:
    """Raise ValueError when the run in `workdir` was begun on another prepared set."""
    file = workdir / DATA
    if file.exists() and (before := file.read_text().strip()) != configuration:
        raise ValueError(
            f"{workdir} was begun on the set {before}, and now it is the set {configuration}: "
            "where images were changed, added or removed, restore them; where dataset.directory "
            "was changed, name the former one; or choose another --workdir"
        )


def claim(config: ml_collections.ConfigDict, configuration: str, workdir: Path) -> None:
    """Record in `workdir`, which exists, that it is the run of `config` on a prepared set."""
    text = json.dumps(json.loads(config.to_json()), indent=2)
    for name, content in (("config.json", text), (DATA, configuration)):
        with atomic_write(workdir / name) as temporary:
            temporary.write_text(content + "\n")
