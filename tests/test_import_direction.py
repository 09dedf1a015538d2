"""Imports between the rooms of the package point one way."""

import ast
from pathlib import Path

import pytest

import msdi_jax

ROOT = Path(msdi_jax.__file__).parents[1]
# A room imports from the lines above its own, and from itself.
LAYERS = (
    ("runtime",),
    ("networks",),
    ("models",),
    ("interop", "restoration"),
    ("evaluation", "research"),
    ("report",),
    ("training",),
    ("cli",),
)
RANK = {room: rank for rank, layer in enumerate(LAYERS) for room in layer}
# Folders next to the package; they import nothing of it.
APART = ("data", "configs")


def modules(room):
    """(path, syntax tree) of the modules of a room."""
    folder = ROOT / room if room in APART else ROOT / "msdi_jax" / room
    files = sorted(folder.rglob("*.py"))
    assert files
    return [(str(file.relative_to(ROOT)), ast.parse(file.read_text())) for file in files]


def at_load(node):
    """The nodes that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from at_load(child)


def imported(nodes):
    """Full names of what the nodes import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def wrong_imports(room, allowed, nodes=ast.walk):
    """Sentences about imports of other rooms than `allowed` and `room` itself."""
    return [
        f"{file} imports {name}"
        for file, tree in modules(room)
        for name in imported(nodes(tree))
        if (parts := name.split("."))[0] == "msdi_jax" and parts[1:2] != [room]
        if parts[1:2] and parts[1] not in allowed
    ]


@pytest.mark.parametrize("room", RANK)
def test_rooms_import_what_is_below_them(room):
    below = {other for other, rank in RANK.items() if rank < RANK[room]}
    assert wrong_imports(room, {*below, *APART}) == []


@pytest.mark.parametrize("room", sorted(RANK.keys() - {"training", "cli"}))
def test_only_training_and_cli_need_data_to_load(room):
    assert wrong_imports(room, RANK, at_load) == []


@pytest.mark.parametrize("room", APART)
def test_data_and_configs_stand_alone(room):
    assert wrong_imports(room, ()) == []


def test_one_file_imports_orbax():
    importers = {
        file
        for room in (*RANK, *APART)
        for file, tree in modules(room)
        if any(name.split(".")[0] == "orbax" for name in imported(ast.walk(tree)))
    }
    assert importers == {"msdi_jax/runtime/checkpoint.py"}
