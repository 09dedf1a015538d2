"""The pages build without a warning, and have every field of the configuration."""

import importlib.util
from pathlib import Path

import msdi_jax
from msdi_jax.configs import base

ROOT = Path(__file__).parents[2]
TRANSFER = ("interpolate", "transfer", "representation", "reblur", "views_of")


def test_every_page_is_built(site):
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).with_suffix("") for path in docs.rglob("*.md")} - {
        Path("index")
    }
    assert pages == {path.parent.relative_to(site) for path in site.glob("**/*/index.html")}


def test_the_reference_has_every_field(site):
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    parts = [part.splitlines() for part in reference.tables().split("## ")[1:]]
    tables = {
        lines[0].replace("`", ""): {line.split("`")[1] for line in lines if line.startswith("| `")}
        for lines in parts
    }
    config = base.get_config().to_dict()
    for stage in ("reblur", "deblur"):
        assert tables[stage] | tables["reblur and deblur"] == set(config.pop(stage))
    pairs = {*base.paired("gopro"), *base.paired("realblur_r"), *base.paired("pairs")}
    assert tables["dataset of ready-made pairs"] == pairs
    groups = {name for name, value in config.items() if isinstance(value, dict)}
    assert {group: tables[group] for group in groups} == {
        group: set(config.pop(group)) for group in groups
    }
    assert tables["The run"] == set(config)
    assert "Decay per step of the moving average" in (site / "config" / "index.html").read_text()


def test_the_reference_has_the_whole_public_api(site):
    page = (site / "api" / "index.html").read_text()
    headings = {f"msdi_jax.{name}" for name in msdi_jax.__all__ if name != "BUNDLED"}
    headings |= {f"msdi_jax.research.transfer.{name}" for name in TRANSFER}
    assert {name for name in headings if f'id="{name}"' not in page} == set()
