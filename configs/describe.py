"""The fields of an experiment with values and descriptions, for help texts and docs/config.md.

A description is the comment above the field in `base.py`.
"""

import ast
import functools
import itertools
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

_HERE = Path(__file__).parent
_NO_EXPERIMENTS = ("__init__", "base", "describe")
_STAGES = ("reblur", "deblur")


class Field(NamedTuple):
    """A field of a configuration: its dotted path, its value there, what it means."""

    path: str
    default: Any
    description: str


def names() -> list[str]:
    """Names of the experiments in this folder."""
    return sorted({file.stem for file in _HERE.glob("*.py")}.difference(_NO_EXPERIMENTS))


def describe_fields(config: ConfigDict) -> list[Field]:
    """Describe every field of a configuration, in the order of `base.py`."""
    position = {path: number for number, path in enumerate(_comments())}

    def place(field: Field) -> tuple[int, int]:
        group = field.path.rpartition(".")[0]
        return position.get(group, -1), position.get(_commented(field.path), -1)

    fields = (Field(path, value, describe(path)) for path, value in _leaves(config))
    return sorted(fields, key=place)


def describe(path: str) -> str:
    """Return the comment above a field, or a group of fields, in `base.py`; "" if it has none."""
    return _comments().get(_commented(path), "")


def _commented(path: str) -> str:
    """Return the field with the comment: one comment describes a field of both stages."""
    group, _, field = path.partition(".")
    return f"stage.{field}" if group in _STAGES and path not in _comments() else path


def format_help(config: ConfigDict) -> str:
    """Format the fields of a configuration as text of 100 columns, for a terminal."""
    wrap = functools.partial(
        textwrap.fill, width=100, initial_indent=" " * 8, subsequent_indent=" " * 8
    )
    return "\n".join(
        f"  --config.{field.path}={field.default!r}\n{wrap(field.description)}"
        for field in describe_fields(config)
    )


def _leaves(config: ConfigDict, group: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _leaves(value, f"{group}{key}.")
        else:
            yield f"{group}{key}", value


@functools.cache
def _comments() -> dict[str, str]:
    """The comments of `base.py` by the path of the field below them, in the order of the file."""
    source = (_HERE / "base.py").read_text(encoding="utf-8")
    lines = source.splitlines()
    comments: dict[str, str] = {}
    for number, path in sorted(_fields(ast.parse(source))):
        upwards = (line.strip() for line in reversed(lines[: number - 1]))
        comment = list(itertools.takewhile(lambda line: line.startswith("#"), upwards))
        if comment:
            comments.setdefault(path, " ".join(line.lstrip("# ") for line in reversed(comment)))
    return comments


def _fields(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line numbers and paths of the fields: assigned, keywords, or keys of dictionaries."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        path = ast.unparse(node.targets[0]).removeprefix("config.")
        yield node.lineno, path
        for inner in ast.walk(node.value):
            if isinstance(inner, ast.keyword):
                yield inner.lineno, f"{path}.{inner.arg}"
            elif isinstance(inner, ast.Dict):
                yield from ((key.lineno, f"{path}.{key.value}") for key in inner.keys)
