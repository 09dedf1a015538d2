"""Figures per image in a CSV file that survives interruption."""

import csv
import io
import json
from pathlib import Path

TEXT = ("name", "photograph")


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
            temporary = folder / "header.json.new"
            temporary.write_text(json.dumps(header, indent=2) + "\n")
            temporary.replace(described)
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
            temporary = self.file.with_name("per_image.csv.new")
            temporary.write_text(whole if self.rows else "", encoding="utf-8")
            temporary.replace(self.file)


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
