"""Templates of file names, for pairs whose files are not named equally."""

from collections.abc import Iterable
from pathlib import Path

from msdi_jax.data.errors import listing

PLACE = "{}"


class NameTemplate:
    """File names without suffix, in which the name of the pair stands at {}.

    "{}_blur" is for im1_blur.png of the pair im1. With "{}/blur", the name is that of the folder.

    Raises:
        ValueError: unless the template has exactly one {}.
    """

    def __init__(self, text: str):
        if text.count(PLACE) != 1:
            raise ValueError(
                f"the name template {text!r} must have one {PLACE}, the place of the pair's name, "
                f'like "{PLACE}_blur"'
            )
        self.text = text
        self._before, _, self._after = text.partition(PLACE)
        self._parts = text.count("/") + 1

    def name_of(self, path: str) -> str | None:
        """Return the name of the pair, after its folder; None if `path` does not fit."""
        folders, tail = self._split(path, self._parts)
        name = tail.removeprefix(self._before).removesuffix(self._after)
        return folders + name if name and tail == self.text.replace(PLACE, name) else None

    def path_of(self, name: str) -> str:
        """Return the path without suffix that has this name."""
        folders, tail = self._split(name, 1)
        return folders + self.text.replace(PLACE, tail)

    @staticmethod
    def _split(path: str, count: int) -> tuple[str, str]:
        """Split off the last `count` parts."""
        parts = path.split("/")
        return "".join(f"{part}/" for part in parts[:-count]), "/".join(parts[-count:])


def sort_files(
    folder: Path, files: Iterable[Path], *templates: NameTemplate
) -> list[dict[str, Path]]:
    """Return name → file below `folder`, for each template; of several, the longest decides.

    Raises:
        ValueError: listing files that fit no template, and files of one name.
    """
    sorted_files: list[dict[str, Path]] = [{} for _ in templates]
    problems = []
    for file in files:
        path = file.relative_to(folder).with_suffix("").as_posix()
        names = {i: name for i, one in enumerate(templates) if (name := one.name_of(path))}
        if not names:
            problems.append(f"{file} does not fit {' or '.join(one.text for one in templates)}")
            continue
        index = max(names, key=lambda i: len(templates[i].text))
        if (first := sorted_files[index].setdefault(names[index], file)) is not file:
            problems.append(f"{file} and {first} have one name, {names[index]}")
    if problems:
        raise ValueError(
            f"{len(problems)} files of {folder} cannot be paired by name, rename or remove them:\n"
            + listing(problems)
        )
    return sorted_files
