"""Lineage of trained networks: what they started from, its licence and its use, are not lost."""

import dataclasses
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax import nnx

from msdi_jax import models
from msdi_jax.configs import finetune, quickstart
from msdi_jax.training import provenance, run, sources
from msdi_jax.training.splits import Splits
from tests.small_networks import SMALL, small_network

START = models.Description(SMALL, {"file": "net.pth"}, "unclear", window=64, orientations=4)


@pytest.fixture
def config(tmp_path):
    """Fine-tuning from a saved model."""
    models.save(tmp_path / "start", small_network(), START)
    config = finetune.get_config()
    config.update_from_flattened_dict(SMALL.config_overrides())
    config.deblur.start_from = str(tmp_path / "start")
    run.check_config(config)
    return config


@pytest.mark.parametrize(
    ("fields", "used"),
    [
        ({}, (64, 4)),
        ({"window": 32}, (32, 4)),
        ({"window": 0, "orientations": 1}, (None, 1)),
    ],
)
def test_settings_of_use_come_from_the_start_or_the_configuration(config, tmp_path, fields, used):
    config.evaluation.update(fields)
    description = provenance.describe_network("deblur", config, tmp_path)
    assert (description.window, description.orientations) == used


def test_a_stage_is_given_host_arrays():
    """It places its own: those of the model that it starts from would stay on the device."""
    loaded = sources.load_on_host(models.BUNDLED)
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(nnx.state(loaded.network)))


def test_without_a_start_it_is_used_as_published():
    settings = provenance.restoration_settings(quickstart.get_config(), None)
    assert settings == {"window": None, "orientations": 1}


def test_provenance_and_licence_of_what_it_took_weights_from(config, tmp_path):
    alone = provenance.describe_network("deblur", config, tmp_path)
    assert alone.provenance["start_from"] == {"file": "net.pth"}
    assert alone.licence == f"{provenance.LICENCE}; unclear"

    other = dataclasses.replace(START, provenance={"file": "net_E.pth"}, licence="theirs")
    models.save(tmp_path / "other", small_network(), other)
    config.deblur.degradation_from = str(tmp_path / "other")
    both = provenance.describe_network("deblur", config, tmp_path)
    assert both.provenance["degradation_from"] == {"file": "net_E.pth"}
    assert both.licence == f"{provenance.LICENCE}; unclear; theirs"

    # The same model twice is recorded once.
    config.deblur.degradation_from = config.deblur.start_from
    assert provenance.describe_network("deblur", config, tmp_path) == alone

    # The same holds for a licence, also of an earlier generation.
    models.save(tmp_path / "start", small_network(), alone)
    assert provenance.describe_network("deblur", config, tmp_path).licence == alone.licence

    made = provenance.at_step(alone, 7, "ema")
    assert alone.provenance.items() < made.provenance.items()
    assert (made.provenance["steps"], made.provenance["weights"]) == (7, "ema")


def test_a_run_of_both_stages_has_its_own_encoder(tmp_path):
    config = quickstart.get_config()
    own = models.Description(
        models.Architecture("reblur_deblur_net", 2), {"seed": 5}, provenance.LICENCE
    )
    models.save(tmp_path / "model-reblur", small_network(), own)
    found = provenance.describe_network("deblur", config, tmp_path)
    assert found.provenance["degradation_from"] == {"seed": 5}
    assert found.licence == provenance.LICENCE


def test_the_start_may_go_while_it_is_trained(config, tmp_path, monkeypatch):
    """The description is made before training starts."""
    network = models.load(config.deblur.start_from).network

    def train(*arguments, **options):
        shutil.rmtree(config.deblur.start_from)
        return {"last": SimpleNamespace(step=7)}

    stage = SimpleNamespace(network=lambda state: network)
    for name, value in {
        "open_splits": lambda config: Splits([], [], [], ""),
        "check_sizes": lambda *arguments: None,
        "make_stage": lambda *arguments: stage,
        "train": train,
        "evaluate_run": lambda *arguments: None,
    }.items():
        monkeypatch.setattr(run, name, value)
    monkeypatch.setattr(run.report, "write_report", lambda workdir: workdir / "report.html")
    run.run(config, tmp_path / "run")
    found = models.read_description(tmp_path / "run" / "model")
    assert found.provenance["steps"] == 7
    assert (found.window, found.orientations) == (64, 4)
    assert found.provenance["start_from"] == {"file": "net.pth"}
