"""Evaluation at the end of a run, of all kinds of its weights on the test split."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import ml_collections

from msdi_jax import models
from msdi_jax.evaluation import reported_results, results_file
from msdi_jax.evaluation.evaluate import evaluate, model_subject
from msdi_jax.evaluation.results_file import Evaluation
from msdi_jax.evaluation.results_text import results_text
from msdi_jax.evaluation.test_sets import Pairs, prepared_pairs
from msdi_jax.models import DIRECTORIES, Model, cost
from msdi_jax.training import provenance
from msdi_jax.training.metrics_log import val_ends
from msdi_jax.training.sources import find_sources

# Kind of weights → the suffix of their model directory's name; see `loop.train`.
SUFFIXES = {"ema": "-ema", "best": "-best", "last": ""}


def evaluate_run(
    config: ml_collections.ConfigDict,
    workdir: Path,
    test_source: Sequence[Mapping],
    dataset_configuration: str,
) -> None:
    """Evaluate a run whose stages are finished; an interrupted evaluation resumes at its image.

    The results of the last weights are written to `workdir`, those of other weights to
    `evaluation/KIND` in it.
    """
    pairs = prepared_pairs(test_source, config.dataset.name, dataset_configuration, "test")
    trained = {name: models.load(workdir / DIRECTORIES[name]) for name in config.stages}
    # A run of stage 1 evaluates the joint network without windows and orientations.
    usage = {"window": None, "orientations": 1}
    if "deblur" in trained:
        usage = provenance.restoration_settings(config, trained["deblur"].description)
        trained["deblur"] = trained["deblur"].using(**usage)
    networks = trained.get("deblur"), trained.get("reblur")
    evaluation = _evaluate(config, pairs, workdir, *networks, config.evaluation.samples)
    others = {}
    for kind, path in _other_weights(config, workdir).items():
        folder, network = workdir / "evaluation" / kind, models.load(path).using(**usage)
        other = _evaluate(config, pairs, folder, network)
        origin = {} if kind == "start" else {"config": _as_json(config)}
        results_file.write(folder, dataclasses.replace(other, weights=path.name, **origin))
        others[kind] = {k: v for k, v in other.means.items() if k.endswith("_deblurred")}
    evaluation = dataclasses.replace(
        evaluation,
        **_details(config, trained, evaluation),
        val_losses={name: ends for name in config.stages if (ends := val_ends(workdir, name))},
        other_weights=others,
    )
    results_file.write(workdir, evaluation)
    print(results_text(evaluation))


def _details(
    config: ml_collections.ConfigDict, trained: Mapping[str, Model], evaluation: Evaluation
) -> dict:
    """Return the fields of `Evaluation` that describe the last weights."""
    last = trained[config.stages[-1]].description
    reported = reported_results.reported_row(last.architecture, evaluation.settings)
    return {
        "method": config.get("ablation", ""),
        "weights": DIRECTORIES[config.stages[-1]],
        "config": _as_json(config),
        "provenance": last.provenance,
        "reported": reported and reported._asdict(),
        "parameters": _parameters(trained["deblur"]) if "deblur" in trained else None,
    }


def _as_json(config: ml_collections.ConfigDict) -> dict:
    return json.loads(config.to_json())


def _other_weights(config: ml_collections.ConfigDict, workdir: Path) -> dict[str, Path]:
    """Return kind → model directory, for the last stage's network with its other weights."""
    stage = config.stages[-1]
    name = DIRECTORIES[stage]
    paths = {kind: workdir / f"{name}{SUFFIXES[kind]}" for kind in ("ema", "best")}
    if start := find_sources(stage, config, workdir).get("start"):
        paths["start"] = start
    return {kind: path for kind, path in paths.items() if path.exists()}


def _evaluate(
    config: ml_collections.ConfigDict,
    pairs: Pairs,
    folder: Path,
    deblurrer: Model | None,
    joint: Model | None = None,
    samples: int = 0,
) -> Evaluation:
    """Evaluate; results of other weights or settings in `folder` are deleted, not refused."""
    return evaluate(
        model_subject(deblurrer, joint, restoration=config.evaluation.restore),
        pairs,
        folder,
        scoring=config.evaluation.protocols,
        sample_count=samples,
        restart=True,
    )


def _parameters(loaded: Model) -> int:
    """Count the parameters of a deblurring network, without an encoder that modulates nothing."""
    parts = cost.count(loaded.architecture).parts
    unused = not loaded.architecture.injected
    return sum(p.parameters for p in parts if not (unused and p.name.startswith("degradation")))
