"""The evaluation at the end of a run."""

from types import SimpleNamespace

import pytest

from msdi_jax import models
from msdi_jax.configs import finetune, quickstart
from msdi_jax.evaluation import results_file
from msdi_jax.evaluation.results_file import Evaluation, Settings
from msdi_jax.training import final_evaluation
from tests.small_networks import SMALL, small_network

RESULTS = Evaluation(
    Settings("pairs", "a_1", "test", 2, ["gopro"], restore="whole"),
    {"psnr_deblurred": 1.0, "psnr_blurry": 0.5},
)


@pytest.fixture
def subjects(monkeypatch):
    """The networks of every `model_subject`; nothing is measured."""
    calls = []

    def evaluate(subject, pairs, folder, **options):
        folder.mkdir(parents=True, exist_ok=True)
        return RESULTS

    monkeypatch.setattr(
        final_evaluation, "model_subject", lambda *models, **options: calls.append(models)
    )
    monkeypatch.setattr(final_evaluation, "evaluate", evaluate)
    return calls


def test_a_start_is_measured_with_the_settings_of_the_run(tmp_path, subjects, capsys):
    start = models.Description(
        SMALL,
        {"file": "net.pth"},
        "unclear",
        window=64,
        orientations=4,
    )
    config = finetune.get_config()
    config.width = 2
    config.deblur.start_from = str(tmp_path / "start")
    config.evaluation.update({"window": 32, "orientations": 2, "samples": 0})
    workdir = tmp_path / "run"
    for path in ("start", "run/model", "run/model-ema"):
        models.save(tmp_path / path, small_network(), start)
    final_evaluation.evaluate_run(config, workdir, [], "a_1")
    # Last weights, averaged weights, start.
    descriptions = [deblurrer.description for deblurrer, *_ in subjects]
    assert [(d.window, d.orientations) for d in descriptions] == 3 * [(32, 2)]

    written = results_file.read(workdir)
    assert written.other_weights == {k: {"psnr_deblurred": 1.0} for k in ("ema", "start")}
    assert written.config["width"] == 2
    assert written.provenance == {"file": "net.pth"}
    assert written.parameters > 0
    assert written.val_losses == {}
    assert results_file.read(workdir / "evaluation" / "ema").weights == "model-ema"
    printed = capsys.readouterr().out
    assert "pairs (a_1) test, 2 images, restored: whole, 1 orientation, scored: gopro" in printed
    assert "deblurred by start weights: PSNR 1.00 dB" in printed


def test_a_run_of_stage_1_measures_the_joint_network_as_it_is(tmp_path, monkeypatch, subjects):
    config = quickstart.get_config()
    config.update({"stages": ("reblur",), "evaluation": {"window": 64, "orientations": 2}})
    joint = models.Model(
        small_network(), models.Description(models.Architecture("reblur_deblur_net", 2), {}, "")
    )
    monkeypatch.setattr(final_evaluation.models, "load", lambda path: joint)
    (tmp_path / "model-reblur-ema").mkdir(parents=True)
    final_evaluation.evaluate_run(config, tmp_path, [], "a_1")
    networks = [deblurrer or rest[0] for deblurrer, *rest in subjects]
    assert len(networks) == 2
    for network in networks:
        assert network.description.window is None
        assert network.description.orientations == 1
    assert results_file.read(tmp_path).weights == "model-reblur"


def test_val_losses_of_a_run(tmp_path, monkeypatch, subjects, capsys):
    ends = {"initial": {"loss": 2.0}, "final": {"loss": 1.0}}
    monkeypatch.setattr(final_evaluation, "val_ends", lambda workdir, stage: ends)
    network = SimpleNamespace(
        description=models.Description(models.Architecture("reblur_deblur_net", 2), {}, "")
    )
    monkeypatch.setattr(final_evaluation.models, "load", lambda path: network)
    config = quickstart.get_config()
    config.stages = ("reblur",)
    final_evaluation.evaluate_run(config, tmp_path, [], "a_1")
    assert results_file.read(tmp_path).val_losses == {"reblur": ends}
    assert "reblur: val loss 2 → 1" in capsys.readouterr().out
