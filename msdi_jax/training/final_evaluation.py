"""The evaluation at the end of a run: its weights of every kind on the test split."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import ml_collections

from msdi_jax.evaluation import aggregate
from msdi_jax.evaluation.evaluate import evaluate, restoration_settings
from msdi_jax.evaluation.protocols import FIGURES
from msdi_jax.evaluation.results_file import Measurements
from msdi_jax.models import cost, model
from msdi_jax.models.model import DIRECTORIES
from msdi_jax.training import provenance
from msdi_jax.training.metrics_log import val_ends

# Kind of weights → the suffix of their model directory's name; see `loop.train`.
SUFFIXES = {"ema": "-ema", "best": "-best", "last": ""}


def evaluate_run(
    config: ml_collections.ConfigDict,
    workdir: Path,
    test_source: Sequence[Mapping],
    dataset_configuration: str,
) -> None:
    models = {name: model.load(workdir / DIRECTORIES[name]) for name in config.stages}
    # A run of stage 1 measures the joint network as it is.
    usage = {"window": None, "orientations": 1}
    if "deblur" in models:
        usage = provenance.usage(config, models["deblur"].description)
        models["deblur"] = models["deblur"].using(**usage)
    found = _measure(
        "last",
        config,
        workdir,
        test_source,
        dataset_configuration,
        deblurrer=models.get("deblur"),
        joint=models.get("reblur"),
        samples=workdir / "samples",
        sample_count=config.evaluation.samples,
    )
    others = {}
    for kind, path in _other_weights(config, workdir).items():
        other = model.load(path).using(**usage)
        figures_of = _measure(
            kind,
            config,
            workdir,
            test_source,
            dataset_configuration,
            deblurrer=other,
            joint=None,
        )
        others[kind] = {k: value for k, value in figures_of.items() if k.endswith("_deblurred")}
    record = {
        "dataset": config.dataset.name,
        "configuration": dataset_configuration,
        "split": "test",
        "steps": {name: config[name].steps for name in config.stages},
        "val": config.val,
        "val_losses": {name: val_ends(workdir, name) for name in config.stages},
        "parameters": _parameters(models["deblur"]) if "deblur" in models else None,
        "other_weights": others,
        **found,
    }
    temporary = workdir / "evaluation.json.new"
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    temporary.replace(workdir / "evaluation.json")
    _print_figures(record)


def _other_weights(config: ml_collections.ConfigDict, workdir: Path) -> dict[str, Path]:
    """Kind → model directory of the last stage's network with other than the last weights."""
    stage = config.stages[-1]
    name = DIRECTORIES[stage]
    paths = {kind: workdir / f"{name}{SUFFIXES[kind]}" for kind in ("ema", "best")}
    if start := provenance.sources(stage, config, workdir).get("start"):
        paths["start"] = start
    return {kind: path for kind, path in paths.items() if path.exists()}


def _measure(
    kind: str,
    config: ml_collections.ConfigDict,
    workdir: Path,
    test_source: Sequence[Mapping],
    dataset_configuration: str,
    *,
    deblurrer: model.Model | None,
    joint: model.Model | None,
    **samples,
) -> dict:
    """`evaluate` on the test split; interrupted, it goes on at the image that it was at."""
    restoration, scoring = config.evaluation.restore, list(config.evaluation.protocols)
    networks = [network for network in (deblurrer, joint) if network]
    header = {
        "models": [network.digest for network in networks],
        **restoration_settings(restoration, networks[0]),
        "protocols": scoring,
        "configuration": dataset_configuration,
    }
    folder = workdir / "evaluation" / kind
    try:
        kept = Measurements(folder, header)
    except ValueError:  # other weights, other settings, or damaged
        shutil.rmtree(folder)
        kept = Measurements(folder, header)
    return evaluate(
        test_source,
        deblurrer=deblurrer,
        joint=joint,
        restoration=restoration,
        protocols=scoring,
        kept=kept,
        **samples,
    )


def _parameters(loaded: model.Model) -> int:
    """Of a deblurring network, without an encoder that modulates nothing."""
    parts = cost.summarise(loaded.description).parts
    unused = not loaded.description.injected
    return sum(p.parameters for p in parts if not (unused and p.name.startswith("degradation")))


def _print_figures(record: dict) -> None:
    restored = aggregate.restored(record)
    print(f"{record['dataset']} {record['split']}, {record['images']} images, {restored}")
    for figure, values in aggregate.measured(record):
        label, digits = FIGURES[figure]
        told = [
            f"{kind} {value:.{digits}f}"
            for kind, value in zip(aggregate.KINDS, values, strict=True)
            if value is not None
        ]
        print(f"  {label:18} {'  '.join(told)}")
    for kind, found in record["other_weights"].items():
        key = aggregate.psnr_key(found, "deblurred")
        if key is not None:
            of_these = kind == "best" and not record["val"]
            chosen = " (chosen on crops of these images)" if of_these else ""
            print(f"  deblurred by {kind} weights{chosen}: PSNR {found[key]:.2f} dB")
    for name, ends in record["val_losses"].items():
        print(f"  {name}: val loss {ends['initial']['loss']:.4g} → {ends['final']['loss']:.4g}")
