"""Evaluate a model, or a folder of ready outputs, on pairs: the one loop over test images."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from msdi_jax.evaluation import aggregate, best_worst, folders, protocols, results_file, test_sets
from msdi_jax.evaluation.results_file import Evaluation, ResultsFile, Settings
from msdi_jax.evaluation.test_sets import Pairs
from msdi_jax.models import Model
from msdi_jax.models.self_ensemble import ORIENTATIONS
from msdi_jax.networks import local_statistics
from msdi_jax.restoration import image_io, restore
from msdi_jax.runtime import letter_case

TARGETS = {"blurry": "sharp", "deblurred": "sharp", "reblurred": "blurry"}
# Side by side in one picture of a sample; the last one is written last.
SAMPLE_ROWS = {
    "reblur-row": ("blurry", "reblurred"),
    "row": ("blurry", "deblurred", "sharp"),
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model that restores, or ready outputs.

    Attributes:
        settings: the fields of `results_file.Settings` about it.
        deblurred: record → deblurred image, uint8 or float in [0, 1].
        reblurred: record → reblurred sharp image; None leaves its metrics out.
        workers: number of images that are measured at the same time.
    """

    settings: dict
    deblurred: Callable[[Mapping], np.ndarray]
    reblurred: Callable[[Mapping], np.ndarray] | None = None
    workers: int = 1


def model_subject(
    deblurrer: Model | None, joint: Model | None = None, *, restoration: str
) -> Subject:
    """Restoration by a model.

    Args:
        deblurrer: deblurs; None: the joint network does.
        joint: reblurs; None leaves the reblurred metrics out.
        restoration: "whole" or "grid", see `restore`.
    """
    check_restoration(restoration)
    mode = restore.MODES[restoration]
    network = deblurrer or joint
    description = network.description

    def deblurred(record: Mapping) -> np.ndarray:
        return mode(network.deblur, image_io.to_unit(np.asarray(record["blurry"])))

    def reblurred(record: Mapping) -> np.ndarray:
        pair = [image_io.to_unit(np.asarray(record[key])) for key in ("blurry", "sharp")]
        return mode(
            lambda x: joint(x[..., :3], x[..., 3:]).reblurred, np.concatenate(pair, axis=-1)
        )

    settings = {
        "models": [model.digest for model in (deblurrer, joint) if model],
        "restore": restoration,
        "orientations": description.orientations,
        "window": description.window,
    }
    return Subject(settings, deblurred, reblurred if joint else None)


def outputs_subject(
    folder: Path, pairs: Pairs, workers: int, template: str | None = None
) -> Subject:
    """The images of any method, one per record, see `folders.match_images`.

    Raises:
        ValueError: when the folder does not match the pairs.
    """
    files = folders.match_images(folder, pairs.names, pairs.sizes, template)
    settings = {"outputs": test_sets.digest(files.values())}
    return Subject(
        settings,
        lambda record: image_io.read(files[test_sets.text(record, "name")]),
        workers=workers,
    )


def check_settings(settings: Mapping) -> None:
    """Raise ValueError for values of `config.evaluation` that no evaluation can use."""
    check_restoration(settings["restore"])
    protocols.check_protocols(settings["protocols"])
    local_statistics.check(settings["window"] or 0, "evaluation.window")
    if (orientations := settings["orientations"]) not in (None, *ORIENTATIONS):
        raise ValueError(f"evaluation.orientations={orientations} must be one of {ORIENTATIONS}")


def check_restoration(restoration: str) -> None:
    """Raise ValueError for an unknown restoration mode."""
    if restoration not in restore.MODES:
        raise ValueError(
            f"restoration mode {restoration!r} is unknown: give {' or '.join(restore.MODES)}"
        )


def check_sizes(pairs: Pairs, scoring: Sequence[str]) -> None:
    """Raise ValueError naming the images that are too small for a protocol."""
    files = getattr(pairs.source, "files", {}).get("sharp", {})
    images = [files.get(name, name) for name in pairs.names]
    protocols.check_sizes(dict(zip(images, pairs.sizes, strict=True)), scoring)


def evaluate(
    subject: Subject,
    pairs: Pairs,
    folder: Path,
    *,
    scoring: Sequence[str] = protocols.DEFAULT,
    sample_count: int = 0,
    restart: bool = False,
) -> Evaluation:
    """Measure all pairs, draw pictures, and aggregate.

    Metrics `NAME_blurry` and `NAME_deblurred` compare with the sharp image, `NAME_reblurred`
    compares the reblurred sharp image with the blurry one. An interrupted evaluation of the same
    settings resumes at the image it was at.

    Args:
        subject: the model or the outputs.
        pairs: the images to measure on.
        folder: for the rows per image, as they are measured, and for `samples/`, the pictures of
            `sample_count` pairs evenly spaced in the source and of the ten worst and ten best.
        scoring: names of protocols, see `msdi_jax.evaluation.protocols`.
        sample_count: number of pairs with pictures of their own.
        restart: see `ResultsFile`.

    Returns:
        The evaluation; the caller adds what it knows, and writes it by `results_file.write`.

    Raises:
        ValueError: for unknown protocols, without pairs, see `check_sizes`, and see `ResultsFile`.
    """
    protocols.check_protocols(scoring)
    if not pairs.names:
        raise ValueError("there are no pairs to evaluate on: choose another split")
    check_sizes(pairs, scoring)
    # Pictures have these names.
    letter_case.check_distinct(map(best_worst.file_stem, pairs.names), folder)
    settings = Settings(
        images=len(pairs.names), protocols=list(scoring), **pairs.identity, **subject.settings
    )
    results = ResultsFile(folder, settings, restart=restart)
    images = _Images(folder / results_file.SAMPLES, subject, pairs, sample_count)
    rows = complete(
        results, pairs.names, lambda index: images.measure(index, scoring), subject.workers
    )
    return Evaluation(
        settings=settings,
        means=aggregate.means(rows),
        identical=len(rows) - len(aggregate.without_identical(rows)),
        deciles=aggregate.deciles(rows),
        samples=images.write_missing(),
        best_worst=best_worst.write_pictures(
            images.best_worst, rows, lambda index: images.pictures(index, reblur=False)
        ),
    )


class _Images:
    """The images of an evaluation: measured, and drawn if they are to be shown."""

    def __init__(self, folder: Path, subject: Subject, pairs: Pairs, count: int):
        self.folder, self.subject, self.pairs = folder, subject, pairs
        self.best_worst = folder / "best_worst"
        total = len(pairs.names)
        self.shown = sorted({*np.linspace(0, total - 1, count).astype(int).tolist()})
        # All of a small set are among the best and worst, except one in the middle: drawn as they
        # are measured, they are not restored twice.
        self.few = total <= 2 * best_worst.COUNT

    def measure(self, index: int, scoring: Sequence[str]) -> dict[str, str | float]:
        """The row of an image; its pictures are drawn if they are to be shown."""
        record = self.pairs.source[index]
        pictures = _pictures(self.subject, record)
        if index in self.shown:
            self._write(index, _eight_bit(pictures))
        if self.few:
            best_worst.draw_image(self.best_worst, self.pairs.names[index], _eight_bit(pictures))
        named = {
            "name": self.pairs.names[index],
            "photograph": test_sets.text(record, "photograph"),
        }
        return named | score_pictures(pictures, scoring)

    def pictures(self, index: int, *, reblur: bool) -> dict[str, np.ndarray]:
        return _eight_bit(_pictures(self.subject, self.pairs.source[index], reblur=reblur))

    def write_missing(self) -> list[str]:
        """The names of the samples; of rows measured earlier, pictures may be missing."""
        for index in self.shown:
            if not self._path(index, "row").exists():
                self._write(index, self.pictures(index, reblur=True))
        return [self.pairs.names[index] for index in self.shown]

    def _write(self, index: int, pictures: Mapping[str, np.ndarray]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for key, picture in pictures.items():
            image_io.write(self._path(index, key), picture)
        for key, members in SAMPLE_ROWS.items():
            if all(member in pictures for member in members):
                row = np.concatenate([pictures[member] for member in members], axis=1)
                image_io.write(self._path(index, key), row)

    def _path(self, index: int, key: str) -> Path:
        return self.folder / f"{best_worst.file_stem(self.pairs.names[index])}-{key}.png"


def _pictures(subject: Subject, record: Mapping, *, reblur: bool = True) -> dict[str, np.ndarray]:
    """Not rounded: that depends on the protocol."""
    pictures = {key: np.asarray(record[key]) for key in ("blurry", "sharp") if key in record}
    pictures["deblurred"] = subject.deblurred(record)
    if reblur and subject.reblurred is not None:
        pictures["reblurred"] = subject.reblurred(record)
    if bad := [kind for kind, picture in pictures.items() if not np.isfinite(picture).all()]:
        name = test_sets.text(record, "name")
        raise ValueError(
            f"{name}: the {bad[0]} image has pixels that are not numbers: give another model"
        )
    return pictures


def _eight_bit(pictures: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        key: picture if picture.dtype == np.uint8 else image_io.to_uint8(picture)
        for key, picture in pictures.items()
    }


def score_pictures(pictures: Mapping[str, np.ndarray], scoring: Sequence[str]) -> dict[str, float]:
    """`METRIC_KIND` of every picture whose target is among them."""
    scores = {
        kind: protocols.score_pair(pictures[kind], pictures[target], scoring)
        for kind, target in TARGETS.items()
        if kind in pictures
    }
    # The kinds of a metric are next to each other.
    names = next(iter(scores.values()))
    return {f"{name}_{kind}": values[name] for name in names for kind, values in scores.items()}


def complete(
    results: ResultsFile, names: Sequence[str], measure: Callable[[int], dict], workers: int = 1
) -> list[dict]:
    """The rows of all `names`, in their order; `measure(index)` returns those that are missing.

    Args:
        results: where rows are kept.
        names: of all images, each once.
        measure: called with the index of a name, from `workers` threads at once.
        workers: more than one only where `measure` may be called from several threads.
    """
    missing = [index for index, name in enumerate(names) if name not in results.rows]
    if len(missing) < len(names):
        before = len(names) - len(missing)
        print(f"{results.file}: {before} of {len(names)} images were measured before", flush=True)
    rows = _ordered(measure, missing, workers)
    # smoothing=0: rate and remaining time from the mean over all images.
    for row in tqdm(rows, total=len(missing), desc="evaluate", unit="image", smoothing=0):
        results.add(row)
    return [results.rows[name] for name in names]


def _ordered(measure: Callable, indices: Sequence[int], workers: int) -> Iterator[dict]:
    """Like `map`, from several threads: one image per worker is in memory at a time."""
    if workers == 1:
        yield from map(measure, indices)
        return
    threads = cv2.getNumThreads()
    # One thread per image: more of OpenCV's own would compete with them.
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            # When the caller stops, or an image fails, the images not begun are cancelled.
            yield from pool.map(measure, indices)
    finally:
        cv2.setNumThreads(threads)
