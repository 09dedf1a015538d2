"""Run directories: the configuration and the data that they belong to."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections

from msdi_jax.models import DIRECTORIES
from msdi_jax.runtime.atomic_write import atomic_write
from msdi_jax.runtime.checkpoint import check_place
from msdi_jax.runtime.config_fields import MAY_CHANGE, STAGES, flattened

# File with the name of the prepared set that the run is trained on.
DATA = "dataset.txt"


def check_configuration(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Check that `workdir` is new, empty, or a run of `config`.

    Raises:
        MoreStepsError: only the steps of a stage were raised.
        ValueError: otherwise.
    """
    check_place(workdir)
    file = workdir / "config.json"
    if not file.exists():
        # Hidden files are the lock, and leftovers of a process that was killed while writing.
        if workdir.exists() and any(not p.name.startswith(".") for p in workdir.iterdir()):
            raise ValueError(f"{workdir} is neither empty nor a run directory: choose another")
        return
    before, now = (flattened(json.loads(text)) for text in (file.read_text(), config.to_json()))
    changed = {
        field: (before.get(field), now.get(field))
        for field in sorted(before.keys() | now.keys())
        if before.get(field) != now.get(field) and not field.startswith(MAY_CHANGE)
    }
    _check_more_steps(changed, workdir)
    if changed:
        differences = [
            f"{field}: {old!r} there, {new!r} here" for field, (old, new) in changed.items()
        ]
        raise ValueError(
            f"{workdir} belongs to a run of another configuration:\n  "
            + "\n  ".join(differences)
            + "\nchoose another --workdir, or delete this one to start again"
        )


class NextRun(NamedTuple):
    """A run directory and the fields to train it with, and what that does."""

    purpose: str
    workdir: Path
    fields: dict[str, Any]


class MoreStepsError(ValueError):
    """A run cannot be extended, since its learning rate was scheduled for its number of steps.

    Attributes:
        reason: why the run is refused.
        runs: what to run instead, in this order.
    """

    def __init__(self, reason: str, runs: Sequence[NextRun]):
        self.reason, self.runs = reason, runs
        super().__init__(self.text(lambda run: f"{run.fields} in {run.workdir}"))

    def text(self, command: Callable[[NextRun], str]) -> str:
        """The whole message, with a command for each run."""
        return "\n".join([self.reason, *(f"{run.purpose}:\n  {command(run)}" for run in self.runs)])


def _check_more_steps(changed: Mapping[str, tuple[Any, Any]], workdir: Path) -> None:
    """Raise MoreStepsError if the steps of a stage were raised, and nothing else changed."""
    raised = [stage for stage in STAGES if f"{stage}.steps" in changed]
    allowed = {f"{stage}.{field}" for stage in raised for field in ("steps", "schedule_steps")}
    counts = [changed[f"{stage}.steps"] for stage in raised]
    if not raised or changed.keys() - allowed or any(old > new for old, new in counts):
        return
    stage, (old, new) = raised[0], counts[0]
    more = new - old
    fields = {"start_from": str(workdir), "steps": more, "schedule_steps": more}
    fields = {f"{stage}.{field}": value for field, value in fields.items()}
    purpose = (
        f"train the {more} steps more in a new run that starts from its model; optimizer and "
        "cosine schedule start again"
    )
    if stage == "deblur":
        fields["stages"] = stage
    elif (workdir / DIRECTORIES["deblur"]).exists():
        purpose += ", and stage 2 is trained from its start on the new representation"
    runs = [NextRun(purpose, workdir.with_name(f"{workdir.name}-{new}"), fields)]
    if not (workdir / DIRECTORIES[stage]).exists():
        finish = {field: before for field, (before, _) in changed.items()}
        runs.insert(0, NextRun("finish it first", workdir, finish))
    raise MoreStepsError(
        f"{workdir} is a run of {old} steps of {stage}, for which its learning rate is scheduled: "
        f"it cannot become one of {new} steps",
        runs,
    )


def recorded_set(workdir: Path) -> str:
    """Return the configuration of the prepared set of a run; "" if none is recorded."""
    file = workdir / DATA
    return file.read_text().strip() if file.exists() else ""


def check_data(configuration: str, workdir: Path) -> None:
    """Raise ValueError if the run in `workdir` uses another prepared set."""
    if (before := recorded_set(workdir)) not in ("", configuration):
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
