"""Run directories: the configuration and the data that they belong to."""

import json
from pathlib import Path

import ml_collections

from msdi_jax.runtime.atomic_write import atomic_write
from msdi_jax.runtime.checkpoint import check_place
from msdi_jax.runtime.config_fields import MAY_CHANGE, flattened

# File with the name of the prepared set that the run is trained on.
DATA = "dataset.txt"


def check_configuration(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Raise ValueError unless `workdir` is new, empty, or a run of `config`."""
    check_place(workdir)
    file = workdir / "config.json"
    if not file.exists():
        # Hidden files are the lock, and leftovers of a process that was killed while writing.
        if workdir.exists() and any(not p.name.startswith(".") for p in workdir.iterdir()):
            raise ValueError(f"{workdir} is neither empty nor a run directory: choose another")
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
    """Raise ValueError if the run in `workdir` uses another prepared set."""
    file = workdir / DATA
    if file.exists() and (before := file.read_text().strip()) != configuration:
        raise ValueError(
            f"{workdir} was started on the set {before}, but the set is now {configuration}: "
            "restore images that were changed, added or removed, restore dataset.directory, or "
            "choose another --workdir"
        )


def claim(config: ml_collections.ConfigDict, configuration: str, workdir: Path) -> None:
    """Record in the existing `workdir` that it is the run of `config` on a prepared set."""
    text = json.dumps(json.loads(config.to_json()), indent=2)
    for name, content in (("config.json", text), (DATA, configuration)):
        with atomic_write(workdir / name) as temporary:
            temporary.write_text(content + "\n")
