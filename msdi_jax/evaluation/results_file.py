"""Figures per image in a CSV file that survives interruption."""

import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
from tqdm import tqdm

from msdi_jax.evaluation.aggregate import TEXT
from msdi_jax.runtime.atomic_write import atomic_write


class Measurements:
    """Rows by the name of their image, each on disk as soon as it is added.

    `per_image.csv` holds the rows; `header.json` beside it says what they were measured with.

    Args:
        folder: made when it is missing.
        header: whatever the figures depend on, as JSON can hold it.

    Raises:
        ValueError: when `folder` holds figures measured with something else, or damaged ones.
    """

    def __init__(self, folder: Path, header: dict):
        self.header = header
        self.file = folder / "per_image.csv"
        self.rows: dict[str, dict] = {}
        described = folder / "header.json"
        if described.exists():
            _check(described, header)
        elif self.file.exists():
            raise ValueError(f"{self.file} has no header.json: choose another --output")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(described) as temporary:
                temporary.write_text(json.dumps(header, indent=2) + "\n")
        if self.file.exists():
            self._read()

    def add(self, row: dict) -> None:
        """Appends a row of texts (`TEXT`) and numbers, the same keys in every row."""
        text = io.StringIO()
        writer = csv.DictWriter(text, row.keys(), lineterminator="\n")
        if not self.rows:
            writer.writeheader()
        # repr: every digit, so that a resumed mean is the uninterrupted one.
        writer.writerow({key: row[key] if key in TEXT else repr(row[key]) for key in row})
        with self.file.open("a", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
        self.rows[row["name"]] = row

    def _read(self) -> None:
        text = self.file.read_text(encoding="utf-8")
        # An interruption may have left half a line.
        whole = text[: text.rfind("\n") + 1]
        try:
            for row in csv.DictReader(io.StringIO(whole)):
                self.rows[row["name"]] = {
                    key: value if key in TEXT else float(value) for key, value in row.items()
                }
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.file} is damaged ({error!r}): delete {self.file.parent}"
            ) from error
        if whole != text or not self.rows:
            with atomic_write(self.file) as temporary:
                temporary.write_text(whole if self.rows else "", encoding="utf-8")

    def complete(
        self, names: Sequence[str], measure: Callable[[int], dict], workers: int = 1
    ) -> list[dict]:
        """The rows of all `names`, in their order; `measure(index)` gives those not here yet.

        Args:
            names: of all images, each once.
            measure: called for the index of a name; from `workers` threads at once.
            workers: more than one only where `measure` may be called from several threads.
        """
        missing = [index for index, name in enumerate(names) if name not in self.rows]
        if len(missing) < len(names):
            before = len(names) - len(missing)
            print(f"{self.file}: {before} of {len(names)} images were measured before")
        start = time.monotonic()
        rows = _ordered(measure, missing, workers)
        for row in tqdm(rows, total=len(missing), desc="evaluate", unit="image", smoothing=0):
            self.add(row)
        if missing:
            seconds = time.monotonic() - start
            rate = len(missing) / seconds
            print(f"{len(missing)} images in {seconds:.1f} s: {rate:.2f} images/s", flush=True)
        return [self.rows[name] for name in names]


def _ordered(measure: Callable, indices: Sequence[int], workers: int) -> Iterator[dict]:
    """As `map`, from several threads: one image per worker is in memory at a time."""
    if workers == 1:
        yield from map(measure, indices)
        return
    threads = cv2.getNumThreads()
    # One thread per image: OpenCV's own would only get in the way.
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            # When the caller stops, or an image fails, the images not begun are cancelled.
            yield from pool.map(measure, indices)
    finally:
        cv2.setNumThreads(threads)


def _check(file: Path, header: dict) -> None:
    try:
        before = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is damaged ({error}): delete {file.parent}") from error
    changed = [key for key in header if before.get(key) != header[key]]
    if changed:
        told = ", ".join(f"{key} {before.get(key)!r} (now {header[key]!r})" for key in changed)
        raise ValueError(
            f"{file.parent} holds figures measured with {told}: choose another --output, or delete "
            "it to start anew"
        )
