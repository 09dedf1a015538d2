"""The pages build without a warning, and tell what the code has."""

import importlib.util
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from msdi_jax.configs import base

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(target), strict=True))
    return target


def test_every_page_is_built(site):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages == {path.parent.name for path in site.glob("*/index.html")} - {"css", "js"}


def test_the_reference_has_every_field():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    text = reference.table(reference.BASE.read_text())

    def told(fields):
        return {line.split("`")[1] for line in fields.splitlines() if line.startswith("| `")}

    groups = {part.split("\n")[0].strip("`"): told(part) for part in text.split("## ")[1:]}
    config = base.get_config().to_dict()
    for stage in ("reblur", "deblur"):
        assert groups[stage] | groups["reblur and deblur"] == set(config.pop(stage))
    for group in ("dataset", "augmentation", "evaluation"):
        assert groups[group] == set(config.pop(group))
    flat = {
        f"{key}.{inner}" if isinstance(value, dict) else key
        for key, value in config.items()
        for inner in (value if isinstance(value, dict) else [""])
    }
    assert groups["The run"] == flat
