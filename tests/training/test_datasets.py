"""Every ready-made set, in the layout of its download: prepared, trained a step on, evaluated."""

import csv

import jax
import numpy as np
import pytest
from flax import nnx

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.configs import base
from msdi_jax.data import pipeline
from msdi_jax.data.records import open_split
from msdi_jax.evaluation import metrics, results_file
from msdi_jax.networks.functional import arrays_of
from msdi_jax.training.stage2_deblur import DeblurStage
from tests.cli.test_prepare import SETS, prepare
from tests.data import miniatures
from tests.small_networks import SMALL, small_network


@pytest.fixture(scope="module")
def training():
    """A state of stage 2 and its compiled step, both of width 2."""
    config = base.get_config()
    config.update_from_flattened_dict(SMALL.config_overrides())
    network = small_network()
    degradation = arrays_of(network.degradation)
    stage = DeblurStage(config, degradation, degradation["encoder"]["shallow"], network)
    return stage.init(jax.random.key(0)), jax.jit(stage.train_step)


@pytest.fixture
def halving(monkeypatch):
    """A model whose result is known: one of width 2 restores nothing."""
    description = models.Description(SMALL, {}, "none")
    network = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    monkeypatch.setattr(models.Model, "_deblur", lambda self, x: x / 2)
    loaded = models.Model(network, description)
    monkeypatch.setattr(models, "read_description", lambda path: description)
    monkeypatch.setattr(models, "load", lambda path: loaded)
    return "any"


@pytest.fixture(params=SETS)
def prepared(request, tmp_path):
    """A set's name and where it is."""
    name = request.param
    prepare(name, SETS[name](tmp_path / "source"), tmp_path)
    (directory,) = tmp_path.glob(f"{name}/*/1.0.0")
    return name, directory


@pytest.mark.slow  # compiles for half a minute
def test_a_training_step(prepared, training):
    source = open_split(prepared[1], "train")
    batch = pipeline.batches(source, batch_size=2, crop=32, seed=0)[0]
    state, step = training
    after, scalars = step(state, batch)
    assert (int(after.step), int(after.skipped)) == (1, 0)
    assert all(np.isfinite(value) for value in scalars.values())
    assert float(scalars["gradient_norm"]) > 0


def test_evaluation(prepared, halving, tmp_path):
    name, directory = prepared
    where = [f"--dataset={name}", f"--data={directory}", f"--output={tmp_path}/out"]
    main(["evaluate", f"--model={halving}", "--restore=whole", *where])
    results = results_file.read(tmp_path / "out")
    # The last two pictures are to test on; those of `pairs` are chosen by a hash.
    with (tmp_path / "out" / "per_image.csv").open() as file:
        names = [line["name"] for line in csv.DictReader(file)]
    test = [int(name.partition(".")[0]) for name in names] if name == "pairs" else [3, 4]
    figures = [
        metrics.psnr(np.round(miniatures.picture(i) / 2), miniatures.picture(100 + i)) for i in test
    ]
    assert results.means["psnr_deblurred"] == pytest.approx(np.mean(figures), abs=1e-4)
    assert results.settings.images == len(test)
