"""A whole run: data, its stages one after the other, models, evaluation, report.

Everything lands in the run directory; started again on it, a run goes on where it stopped.
"""

import contextlib
import json
import operator
import shutil
from pathlib import Path

import ml_collections

from msdi_jax import models, report
from msdi_jax.data.augment import Augmentation
from msdi_jax.data.records import read_settings
from msdi_jax.evaluation import aggregate
from msdi_jax.evaluation.evaluate import check_settings, evaluate, restoration_settings
from msdi_jax.evaluation.protocols import FIGURES
from msdi_jax.evaluation.results_file import Measurements
from msdi_jax.models import DIRECTORIES, cost
from msdi_jax.networks.functional import arrays_of
from msdi_jax.networks.unet import DEPTH
from msdi_jax.runtime import directory_lock, processes
from msdi_jax.runtime.atomic_write import atomic_write
from msdi_jax.runtime.mesh import make_mesh
from msdi_jax.training import provenance, run_directory, sources
from msdi_jax.training.loop import Interrupted, StopRequest, train
from msdi_jax.training.metrics_log import val_ends
from msdi_jax.training.splits import Splits, check_sizes, open_splits
from msdi_jax.training.stage import PRODUCTS, Stage
from msdi_jax.training.stage1_reblur import ReblurStage
from msdi_jax.training.stage2_deblur import DeblurStage
from msdi_jax.training.state import State

STAGES = {"reblur": ReblurStage, "deblur": DeblurStage}
# Kind of weights → what is appended to the names of their directories; see `train`.
SUFFIXES = {"ema": "-ema", "best": "-best", "last": ""}
_LEAST = {
    "seed": 0,
    "val": 0,
    "checkpoints.keep_last": 1,
    "checkpoints.keep_best": 0,
    "evaluation.samples": 0,
}
_CHOICES = {"initial": ("published", "calibrated"), "compute_dtype": tuple(PRODUCTS)}


def run(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Runs `config` (fields: `configs/base.py`) in `workdir`.

    Raises:
        ValueError: before anything is written, when the configuration is unusable or `workdir`
            belongs to another one, other data or another process; later, what `train` raises.
        Interrupted: see `train`.
    """
    check_config(config)
    run_directory.check_configuration(config, workdir)
    data = processes.first_then_others("data", lambda: open_splits(config))
    run_directory.check_data(data.configuration, workdir)
    check_sizes(config, workdir, data)
    # Only the first process writes, so that the others find what it has written.
    with directory_lock.alone_in(workdir) if processes.is_first() else contextlib.nullcontext():
        if processes.is_first():
            run_directory.claim(config, data.configuration, workdir)
        processes.wait_for_all("workdir")
        _train_and_evaluate(config, workdir, data)


def check_config(config: ml_collections.ConfigDict) -> None:
    """Raise ValueError, naming field and fix, for a configuration that could only fail later."""
    stages, both = tuple(config.stages), tuple(STAGES)
    if stages not in (both[:1], both[1:], both):
        raise ValueError(f"stages={stages} must be {both[:1]}, {both[1:]} or {both}")
    for field, least in _LEAST.items():
        if (value := operator.attrgetter(field)(config)) < least:
            raise ValueError(f"{field}={value} must be at least {least}")
    if config.seed >= 2**32:
        raise ValueError(f"seed={config.seed} must be below 2**32")
    for field, choices in _CHOICES.items():
        if config[field] not in choices:
            raise ValueError(f"{field}={config[field]!r} must be one of {', '.join(choices)}")
    if not 0 <= config.remat <= DEPTH:
        raise ValueError(f"remat={config.remat} must be a number of U-Net levels, 0 … {DEPTH}")
    Augmentation(**config.augmentation)
    check_settings(config.evaluation)
    for name in config.stages:
        STAGES[name].check(config)
    read_settings(config.dataset.to_dict())
    _check_encoder_source(config)


def _check_encoder_source(config: ml_collections.ConfigDict) -> None:
    """Raise ValueError unless stage 2 gets its degradation encoder from exactly one place."""
    stages, both = tuple(config.stages), tuple(STAGES)
    if stages == ("deblur",) and not (config.deblur.degradation_from or config.deblur.start_from):
        raise ValueError(
            "deblur.degradation_from is empty: give a stage-1 run or a model to freeze the encoder "
            f"of, give deblur.start_from, or train stage 1 too by stages={both}"
        )
    if stages == both and (config.deblur.degradation_from or config.version != 2):
        raise ValueError(
            "a run of both stages uses stage 1's own degradation encoder, which is version 2: "
            "leave deblur.degradation_from empty and version at 2"
        )


def _train_and_evaluate(config: ml_collections.ConfigDict, workdir: Path, data: Splits) -> None:
    mesh = make_mesh(config.mesh.data, config.mesh.rows)
    processes.print_once(
        f"on {mesh.size} × {mesh.devices.flat[0].device_kind}, mesh {dict(mesh.shape)}"
    )
    with StopRequest().listening() as stop:
        for name in config.stages:
            if (workdir / DIRECTORIES[name]).exists():
                processes.print_once(f"{name}: finished before")
                continue
            stage = make_stage(name, config, workdir)
            # Now, since what it starts from may be gone when it is done.
            description = provenance.describe_network(name, config, workdir)
            states = train(
                name,
                stage,
                config,
                workdir=workdir,
                mesh=mesh,
                train_source=data.train,
                val_source=data.val,
                stop=stop,
            )
            _save(name, stage, states, description, workdir)
            if not processes.all_agree(f"{name} goes on", not stop.made):
                raise Interrupted(config[name].steps)
    if processes.is_first():
        _evaluate(config, workdir, data)
        print(f"report: {report.write_report(workdir)}", flush=True)


def _save(
    name: str,
    stage: Stage,
    states: dict[str, State],
    description: models.Description,
    workdir: Path,
) -> None:
    """Model directories of all kinds of weights; the last one's tells that the stage is done."""
    if processes.is_first():
        for kind, suffix in SUFFIXES.items():
            if kind in states:
                found = provenance.at_step(description, int(states[kind].step), kind)
                path = workdir / f"{DIRECTORIES[name]}{suffix}"
                models.save(path, stage.network(states[kind]), found)
    processes.wait_for_all(f"{name} saved")


def make_stage(name: str, config: ml_collections.ConfigDict, workdir: Path) -> Stage:
    """Make stage `name` with the weights that it starts from or freezes."""
    paths = sources.find_sources(name, config, workdir)
    loaded = {key: sources.load_on_host(path) for key, path in paths.items()}
    start = loaded["start"].network if "start" in loaded else None
    if name == "reblur":
        return ReblurStage(config, sources.load_vgg(config.reblur.vgg_weights), start)
    degradation = arrays_of((loaded.get("degradation") or loaded["start"]).estimator)
    encoder = degradation["encoder"]
    if config.deblur.features_from:
        encoder = sources.load_encoder(config.deblur.features_from)
    return DeblurStage(config, degradation, encoder["shallow"], start)


def _evaluate(config: ml_collections.ConfigDict, workdir: Path, data: Splits) -> None:
    trained = {name: models.load(workdir / DIRECTORIES[name]) for name in config.stages}
    # A run of stage 1 measures the joint network as it is.
    usage = {"window": None, "orientations": 1}
    if "deblur" in trained:
        usage = provenance.restoration_settings(config, trained["deblur"].description)
        trained["deblur"] = trained["deblur"].using(**usage)
    found = _measure(
        "last",
        config,
        workdir,
        data,
        deblurrer=trained.get("deblur"),
        joint=trained.get("reblur"),
        samples=workdir / "samples",
        sample_count=config.evaluation.samples,
    )
    others = {}
    for kind, path in _other_weights(config, workdir).items():
        other = models.load(path).using(**usage)
        figures_of = _measure(kind, config, workdir, data, deblurrer=other, joint=None)
        others[kind] = {k: value for k, value in figures_of.items() if k.endswith("_deblurred")}
    record = {
        "dataset": config.dataset.name,
        "configuration": data.configuration,
        "split": "test",
        "steps": {name: config[name].steps for name in config.stages},
        "val": config.val,
        "val_losses": {name: ends for name in config.stages if (ends := val_ends(workdir, name))},
        "parameters": _parameters(trained["deblur"]) if "deblur" in trained else None,
        "other_weights": others,
        **found,
    }
    with atomic_write(workdir / "evaluation.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
    _print_figures(record)


def _other_weights(config: ml_collections.ConfigDict, workdir: Path) -> dict[str, Path]:
    """Kind → model directory of the last stage's network with other than the last weights."""
    stage = config.stages[-1]
    name = DIRECTORIES[stage]
    paths = {kind: workdir / f"{name}{SUFFIXES[kind]}" for kind in ("ema", "best")}
    if start := sources.find_sources(stage, config, workdir).get("start"):
        paths["start"] = start
    return {kind: path for kind, path in paths.items() if path.exists()}


def _measure(
    kind: str,
    config: ml_collections.ConfigDict,
    workdir: Path,
    data: Splits,
    *,
    deblurrer: models.Model | None,
    joint: models.Model | None,
    **samples,
) -> dict:
    """`evaluate` on the test split; interrupted, it goes on at the image that it was at."""
    restoration, scoring = config.evaluation.restore, list(config.evaluation.protocols)
    networks = [network for network in (deblurrer, joint) if network]
    header = {
        "models": [network.digest for network in networks],
        **restoration_settings(restoration, networks[0]),
        "protocols": scoring,
        "configuration": data.configuration,
    }
    folder = workdir / "evaluation" / kind
    try:
        kept = Measurements(folder, header)
    except ValueError:  # other weights, other settings, or damaged
        shutil.rmtree(folder)
        kept = Measurements(folder, header)
    return evaluate(
        data.test,
        deblurrer=deblurrer,
        joint=joint,
        restoration=restoration,
        protocols=scoring,
        kept=kept,
        **samples,
    )


def _parameters(loaded: models.Model) -> int:
    """Of a deblurring network, without an encoder that modulates nothing."""
    parts = cost.count(loaded.architecture).parts
    unused = not loaded.architecture.injected
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
            print(f"  deblurred by {kind} weights: PSNR {found[key]:.2f} dB")
    for name, ends in record["val_losses"].items():
        print(f"  {name}: val loss {ends['initial']['loss']:.4g} → {ends['final']['loss']:.4g}")
