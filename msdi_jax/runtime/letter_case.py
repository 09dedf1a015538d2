"""Disks that ignore the case of letters in names, and those that do not."""

import tempfile
from collections.abc import Iterable
from pathlib import Path


def check_distinct(names: Iterable[str], folder: Path) -> None:
    """Check that files of these names can lie in `folder`, which need not exist yet.

    Raises:
        ValueError: two names differ by their case alone, and the disk of `folder` ignores it.
    """
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.lower(), name)
        if other != name and not distinguishes_case(folder):
            raise ValueError(
                f"{other} and {name} are one name on the disk of {folder}, which ignores case: "
                "rename one, or write to another disk"
            )


def distinguishes_case(folder: Path) -> bool:
    """Return whether the disk of a folder, which need not exist yet, distinguishes `a` from `A`."""
    while not folder.is_dir():
        folder = folder.absolute().parent
    with tempfile.NamedTemporaryFile(prefix=".case", dir=folder) as file:
        name = Path(file.name)
        return not name.with_name(name.name.upper()).exists()
