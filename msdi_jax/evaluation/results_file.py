"""The results of an evaluation: `evaluation.json`, and a row per image in `per_image.csv`.

They are in a run directory, or in the folder that the `evaluate` command writes. This module alone
reads and writes both files.
"""

import csv
import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any

from msdi_jax.evaluation.aggregate import PARTS, TEXT
from msdi_jax.runtime.atomic_write import atomic_write
from msdi_jax.runtime.json_text import to_json

NAME, ROWS, SAMPLES = "evaluation.json", "per_image.csv", "samples"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the metrics of an evaluation depend on: it resumes only with equal settings.

    Attributes:
        dataset: folder of `data/`, or the name of a folder of sharp images.
        configuration: of the prepared set; "" for plain folders, like `split`.
        split: "train" or "test".
        images: number of pairs.
        protocols: names, see `protocols.PROTOCOLS`.
        pairs: digest of the files in plain folders; "" for a prepared set.
        models: digests of the networks; empty for ready outputs.
        outputs: digest of ready outputs; "" for models.
        restore: "grid" or "whole"; "" for ready outputs.
        orientations: number of them that each image is restored in.
        window: side in px of the windows of instance norms; None: the whole image.
    """

    dataset: str
    configuration: str
    split: str
    images: int
    protocols: list
    pairs: str = ""
    models: list = dataclasses.field(default_factory=list)
    outputs: str = ""
    restore: str = ""
    orientations: int = 1
    window: int | None = None

    def __post_init__(self):
        _check_types(self)

    @property
    def set_text(self) -> str:
        """The data set with its configuration, and the split."""
        named = f"{self.dataset} ({self.configuration})" if self.configuration else self.dataset
        return " ".join(filter(None, (named, self.split)))

    @property
    def restoration(self) -> str:
        """The restoration settings, "" for ready outputs."""
        if not self.restore:
            return ""
        plural = "s" * (self.orientations > 1)
        window = [f"window {self.window}"] if self.window else []
        return ", ".join([self.restore, f"{self.orientations} orientation{plural}", *window])

    @property
    def text(self) -> str:
        """The whole protocol in one line."""
        restored = [f"restored: {self.restoration}"] if self.restoration else []
        scored = f"scored: {', '.join(self.protocols)}"
        plural = "s" * (self.images != 1)
        return ", ".join([self.set_text, f"{self.images} image{plural}", *restored, scored])


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The content of `evaluation.json`.

    Attributes:
        settings: see `Settings`.
        means: metric → mean over images that are not identical with their target, None if all are;
            empty while the evaluation is unfinished.
        deciles: see `aggregate.deciles`.
        samples: names of images with pictures below `samples/`.
        best_worst: "worst" and "best" → names of images with pictures below `samples/best_worst/`.
        method: name of the method; "" lets the folder's name stand for it.
        weights: name of the model directory.
        parameters: of the deblurring network.
        config: of the run that trained the network.
        provenance: of the network's weights, see `models.Description`.
        reported: the `reported_results.PublishedRow` of this network on this set.
        val_losses: of a run, stage → "initial" and "final" → loss → value; empty without
            validation.
        other_weights: of a run, kind of weights → means of the deblurred images.
        identical: number of identical pairs, of infinite PSNR.
    """

    settings: Settings
    means: dict = dataclasses.field(default_factory=dict)
    deciles: dict | None = None
    samples: list = dataclasses.field(default_factory=list)
    best_worst: dict = dataclasses.field(default_factory=dict)
    method: str = ""
    weights: str = ""
    parameters: int | None = None
    config: dict | None = None
    provenance: dict | None = None
    reported: dict | None = None
    val_losses: dict = dataclasses.field(default_factory=dict)
    other_weights: dict = dataclasses.field(default_factory=dict)
    identical: int = 0

    def __post_init__(self):
        _check_types(self)
        if any(not isinstance(value, int | float | None) for value in self.means.values()):
            raise TypeError("means must be numbers")
        if self.deciles and not {"note", "ranked_by", "images", *PARTS} <= self.deciles.keys():
            raise TypeError("deciles are incomplete")

    @property
    def identical_text(self) -> str:
        """The sentence about identical pairs; "" without any."""
        if not self.identical:
            return ""
        total = self.settings.images
        if self.identical == total:
            return f"all {total} pairs are identical: no pair is left to average"
        verb = "is" if self.identical == 1 else "are"
        others = total - self.identical
        return f"{self.identical} of {total} pairs {verb} identical: means over the other {others}"


def _check_types(record: Any) -> None:
    for field in dataclasses.fields(record):
        if not isinstance(value := getattr(record, field.name), field.type):
            raise TypeError(f"{field.name} is {value!r}")


def read(folder: Path) -> Evaluation:
    """The finished evaluation of a run directory, or of a folder that `evaluate` wrote.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it is unfinished or its file is damaged.
    """
    evaluation = _load(folder / NAME)
    if not evaluation.means:
        raise ValueError(f"{folder / NAME} is unfinished: repeat the command that began it")
    return evaluation


def _load(file: Path) -> Evaluation:
    if not file.is_file():
        raise FileNotFoundError(
            f"no {file}: give a run directory that was evaluated, or the folder that evaluate wrote"
        )
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return Evaluation(**record | {"settings": Settings(**record["settings"])})
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{file} is damaged ({error}): delete the folder {file.parent}, and evaluate again"
        ) from error


def write(folder: Path, evaluation: Evaluation) -> None:
    text = to_json(dataclasses.asdict(evaluation), indent=2, ensure_ascii=False)
    with atomic_write(folder / NAME) as temporary:
        temporary.write_text(f"{text}\n", encoding="utf-8")


def read_rows(folder: Path) -> dict[str, dict]:
    """The rows of `per_image.csv` by the name of their image; an incomplete last line is left out.

    Raises:
        FileNotFoundError: when there are none.
        ValueError: when the file is damaged.
    """
    file = folder / ROWS
    text = _whole_lines(file.read_text(encoding="utf-8"))
    try:
        return {
            row["name"]: {k: v if k in TEXT else float(v) for k, v in row.items()}
            for row in csv.DictReader(io.StringIO(text))
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} is damaged ({error!r}): delete the folder {folder}, and evaluate again"
        ) from error


def _whole_lines(text: str) -> str:
    """`text` without the incomplete line that an interruption may have left."""
    return text[: text.rfind("\n") + 1]


class ResultsFile:
    """An evaluation under way: each row is on disk as soon as it is added.

    Args:
        folder: created if it is missing.
        settings: of the evaluation.
        restart: delete the results and pictures of other settings, or damaged ones, instead of
            refusing them.

    Raises:
        ValueError: when `folder` holds results of other settings, or damaged ones.
    """

    def __init__(self, folder: Path, settings: Settings, *, restart: bool = False):
        self.file = folder / ROWS
        self.rows: dict[str, dict] = {}
        try:
            if self._resume(folder, settings):
                return
        except ValueError:
            if not restart:
                raise
        if restart:
            _delete_results(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, Evaluation(settings))

    def add(self, row: dict) -> None:
        """Append a row of texts (`TEXT`) and numbers; every row has the same keys."""
        text = io.StringIO()
        writer = csv.DictWriter(text, row.keys(), lineterminator="\n")
        if not self.rows:
            writer.writeheader()
        # repr: every digit, so that a resumed mean equals the uninterrupted one.
        writer.writerow({key: row[key] if key in TEXT else repr(row[key]) for key in row})
        with self.file.open("a", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
        self.rows[row["name"]] = row

    def _resume(self, folder: Path, settings: Settings) -> bool:
        """Take over the rows in `folder`; False where there is no evaluation."""
        if not (folder / NAME).exists():
            if self.file.exists():
                raise ValueError(f"{self.file} has no {NAME}: choose another --output")
            return False
        _check_equal(folder, _load(folder / NAME).settings, settings)
        if self.file.exists():
            self.rows = read_rows(folder)
            text = self.file.read_text(encoding="utf-8")
            kept = _whole_lines(text) if self.rows else ""
            if kept != text:
                with atomic_write(self.file) as temporary:
                    temporary.write_text(kept, encoding="utf-8")
        return True


def _check_equal(folder: Path, before: Settings, now: Settings) -> None:
    old, new = dataclasses.asdict(before), dataclasses.asdict(now)
    changed = ", ".join(f"{k} {old[k]!r} (now {new[k]!r})" for k in new if old[k] != new[k])
    if changed:
        raise ValueError(
            f"{folder} holds results measured with {changed}: choose another --output, or delete "
            "it to start again"
        )


def _delete_results(folder: Path) -> None:
    """The settings last: an interrupted deletion is repeated."""
    shutil.rmtree(folder / SAMPLES, ignore_errors=True)
    for name in (ROWS, NAME):
        (folder / name).unlink(missing_ok=True)
