"""The evaluation at the end of a run."""

import json

from msdi_jax import load
from msdi_jax.configs import finetune, quickstart
from msdi_jax.models import model
from msdi_jax.models.model import BUNDLED
from msdi_jax.training import final_evaluation
from tests.small_networks import small_network

MEANS = {"psnr_deblurred": 1.0, "restore": "whole", "images": 1}


def test_a_start_is_measured_with_the_settings_of_the_run(tmp_path, monkeypatch):
    start = model.Description(
        "msdi2_net", 2, 4, {"file": "net.pth"}, "unclear", window=64, orientations=4
    )
    config = finetune.get_config()
    config.width = 2
    config.deblur.start_from = str(tmp_path / "start")
    config.evaluation.update({"window": 32, "orientations": 2, "samples": 0})
    for path in ("start", "run/model", "run/model-ema"):
        model.save(tmp_path / path, small_network(), start)
    descriptions = []

    def evaluate(source, *, deblurrer, **options):
        descriptions.append(deblurrer.description)
        return MEANS

    monkeypatch.setattr(final_evaluation, "evaluate", evaluate)
    monkeypatch.setattr(final_evaluation, "val_ends", lambda *arguments: {})
    monkeypatch.setattr(final_evaluation, "_print_figures", lambda record: None)
    final_evaluation.evaluate_run(config, tmp_path / "run", [], "a_1")
    # Last weights, averaged weights, start.
    assert [(d.window, d.orientations) for d in descriptions] == 3 * [(32, 2)]


def test_a_run_of_stage_1_measures_the_joint_network_as_it_is(tmp_path, monkeypatch):
    config = quickstart.get_config()
    config.update({"stages": ("reblur",), "evaluation": {"window": 64, "orientations": 2}})
    joint = load(BUNDLED / "model-reblur")
    monkeypatch.setattr(final_evaluation.model, "load", lambda path: joint)
    (tmp_path / "model-reblur-ema").mkdir()
    calls = []
    monkeypatch.setattr(
        final_evaluation, "evaluate", lambda source, **options: calls.append(options) or MEANS
    )
    monkeypatch.setattr(final_evaluation, "val_ends", lambda *arguments: {})
    monkeypatch.setattr(final_evaluation, "_print_figures", lambda record: None)
    final_evaluation.evaluate_run(config, tmp_path, [], "a_1")
    for network in (options["joint"] or options["deblurrer"] for options in calls):
        assert network.description.window is None
        assert network.description.orientations == 1
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert record["configuration"] == "a_1"
