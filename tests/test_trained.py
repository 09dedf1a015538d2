"""Lineage of trained networks: what they started from, its licence and its use, are not lost."""

import dataclasses

import pytest

from configs import finetune, quickstart
from msdi_jax import checks, model, run, trained
from tests.networks import small_network

START = model.Description(
    "msdi2_net", 2, 4, {"file": "net.pth"}, "unclear", window=64, orientations=4
)


@pytest.fixture
def config(tmp_path):
    """Fine-tuning from a saved model."""
    model.save(tmp_path / "start", small_network(), START)
    config = finetune.get_config()
    config.width = 2
    config.deblur.start_from = str(tmp_path / "start")
    checks.check(config)
    return config


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, (64, 4)),
        ({"window": 32}, (32, 4)),
        ({"window": 0, "orientations": 1}, (None, 1)),
    ],
)
def test_it_is_used_as_what_it_started_from_unless_told_otherwise(config, tmp_path, asked, found):
    config.evaluation.update(asked)
    usage = trained.usage(config)
    assert (usage["window"], usage["orientations"]) == found
    description = trained.describe("deblur", config, tmp_path, kind="last", step=7)
    assert (description.window, description.orientations) == found


def test_without_a_start_it_is_used_as_published():
    assert trained.usage(quickstart.get_config()) == {"window": None, "orientations": 1}


def test_its_start_is_measured_as_it_is_itself(config, tmp_path, monkeypatch):
    config.evaluation.update({"window": 32, "orientations": 2, "samples": 0})
    for name in ("model", "model-ema"):
        model.save(tmp_path / "run" / name, small_network(), START)
    used = []

    def evaluate(source, *, deblurrer, **how):
        used.append(deblurrer.description)
        return {"psnr_deblurred": 1.0, "restore": "whole", "images": 1}

    monkeypatch.setattr(run, "evaluate", evaluate)
    monkeypatch.setattr(run, "held_out_ends", lambda *arguments: {})
    monkeypatch.setattr(run, "_print_figures", lambda record: None)
    run._evaluate(config, tmp_path / "run", run._Data([], [], "a_1"))
    # Of the run, its averaged weights, and its start.
    assert [(d.window, d.orientations) for d in used] == 3 * [(32, 2)]


def test_provenance_and_licence_of_what_it_took_weights_from(config, tmp_path):
    alone = trained.describe("deblur", config, tmp_path, kind="ema", step=7)
    assert alone.provenance["steps"] == 7
    assert alone.provenance["start_from"] == {"file": "net.pth"}
    assert alone.licence == f"{trained.LICENCE}; unclear"

    other = dataclasses.replace(START, provenance={"file": "net_E.pth"}, licence="theirs")
    model.save(tmp_path / "other", small_network(), other)
    config.deblur.degradation_from = str(tmp_path / "other")
    both = trained.describe("deblur", config, tmp_path, kind="ema", step=7)
    assert both.provenance["degradation_from"] == {"file": "net_E.pth"}
    assert both.licence == f"{trained.LICENCE}; unclear; theirs"

    # Twice the same is told once.
    config.deblur.degradation_from = config.deblur.start_from
    assert trained.describe("deblur", config, tmp_path, kind="ema", step=7) == alone


def test_a_run_of_both_stages_has_its_own_encoder(tmp_path):
    config = quickstart.get_config()
    own = model.Description("joint", 2, 4, {"seed": 5}, trained.LICENCE)
    model.save(tmp_path / "model-reblur", small_network(), own)
    found = trained.describe("deblur", config, tmp_path, kind="last", step=7)
    assert found.provenance["degradation_from"] == {"seed": 5}
    assert found.licence == trained.LICENCE
