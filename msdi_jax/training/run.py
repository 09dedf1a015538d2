"""A whole run: data, stages in order, models, evaluation, report.

All files are written to the run directory. A run that is started again on its directory resumes
where it stopped.
"""

import contextlib
import operator
from pathlib import Path

import ml_collections

from msdi_jax import models, report
from msdi_jax.data.augment import Augmentation
from msdi_jax.data.records import read_settings
from msdi_jax.evaluation.evaluate import check_settings
from msdi_jax.models import DIRECTORIES, ESTIMATING, Architecture
from msdi_jax.networks.functional import arrays_of, split
from msdi_jax.networks.unet import DEPTH
from msdi_jax.runtime import directory_lock, processes
from msdi_jax.runtime.mesh import make_mesh
from msdi_jax.training import provenance, run_directory, sources
from msdi_jax.training.final_evaluation import SUFFIXES, evaluate_run
from msdi_jax.training.loop import Interrupted, StopRequest, train
from msdi_jax.training.splits import Splits, check_sizes, open_splits
from msdi_jax.training.stage import PRODUCTS, Stage
from msdi_jax.training.stage1_reblur import ReblurStage
from msdi_jax.training.stage2_deblur import DeblurStage
from msdi_jax.training.state import State

STAGES = {"reblur": ReblurStage, "deblur": DeblurStage}
_LEAST = {
    "seed": 0,
    "val": 0,
    "checkpoints.keep_last": 1,
    "checkpoints.keep_best": 0,
    "evaluation.samples": 0,
}
_CHOICES = {"initial": ("published", "calibrated"), "compute_dtype": tuple(PRODUCTS)}


def run(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Run `config` (fields: `configs/base.py`) in `workdir`.

    Raises:
        ValueError: before anything is written, if the configuration is unusable or `workdir`
            belongs to another configuration, other data or another process; later, see `train`.
        Interrupted: see `train`.
    """
    check_config(config)
    run_directory.check_configuration(config, workdir)
    data = processes.first_then_others("data", lambda: open_splits(config))
    run_directory.check_data(data.configuration, workdir)
    check_sizes(config, workdir, data)
    # Only the first process writes; the others read its files.
    with directory_lock.alone_in(workdir) if processes.is_first() else contextlib.nullcontext():
        if processes.is_first():
            run_directory.claim(config, data.configuration, workdir)
        processes.wait_for_all("workdir")
        _train_and_evaluate(config, workdir, data)


def check_config(config: ml_collections.ConfigDict) -> None:
    """Raise ValueError, naming field and fix, for a configuration that could only fail later."""
    check_fields(config)
    mesh = make_mesh(config.mesh.data, config.mesh.rows)
    for name in config.stages:
        STAGES[name].check(config, mesh)
        sources.check_sources(name, config)
    read_settings(config.dataset.to_dict())
    _check_encoder_source(config)


def check_fields(config: ml_collections.ConfigDict) -> None:
    """Raise ValueError for a field that no stage, device or file is needed to refuse."""
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


def _check_encoder_source(config: ml_collections.ConfigDict) -> None:
    """Raise ValueError unless stage 2 gets its degradation encoder from exactly one place."""
    stages, both = tuple(config.stages), tuple(STAGES)
    if "deblur" in stages and config.deblur.network not in ESTIMATING:
        if stages == both:
            raise ValueError(
                f"deblur.network={config.deblur.network!r} takes no representation from stage 1: "
                "train it alone by stages=('deblur',)"
            )
        return
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
                processes.print_once(f"{name}: already finished")
                continue
            stage = make_stage(name, config, workdir)
            # Described before training, since the model to start from may be gone afterwards.
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
            if not processes.all_agree(f"{name} continues", not stop.requested):
                raise Interrupted(config[name].steps)
    if processes.is_first():
        evaluate_run(config, workdir, data.test, data.configuration)
        print(f"report: {report.write_report(workdir)}", flush=True)


def _save(
    name: str,
    stage: Stage,
    states: dict[str, State],
    description: models.Description,
    workdir: Path,
) -> None:
    """Write the model directories of all kinds of weights.

    That of the last weights is written last, and marks the stage as finished.
    """
    if processes.is_first():
        for kind, suffix in SUFFIXES.items():
            if kind in states:
                complete = provenance.at_step(description, int(states[kind].step), kind)
                path = workdir / f"{DIRECTORIES[name]}{suffix}"
                models.save(path, stage.network(states[kind]), complete)
    processes.wait_for_all(f"{name} saved")


def make_stage(name: str, config: ml_collections.ConfigDict, workdir: Path) -> Stage:
    """Make stage `name` with the weights that it starts from or freezes."""
    paths = sources.find_sources(name, config, workdir)
    loaded = {key: sources.load_on_host(path) for key, path in paths.items()}
    start = loaded["start"].network if "start" in loaded else None
    if name == "reblur":
        return ReblurStage(config, sources.load_vgg(config.reblur.vgg_weights), start)
    degradation, features = None, None
    if config.deblur.network in ESTIMATING:
        degradation = arrays_of((loaded.get("degradation") or loaded["start"]).estimator)
        features = degradation["encoder"]["shallow"]
    if config.deblur.features_from:
        features = sources.load_encoder(config.deblur.features_from)["shallow"]
    if "start" in loaded and loaded["start"].architecture.kind != config.deblur.network:
        start = sources.with_modulation(start, Architecture.from_config(config, name))
    joint = split(loaded["joint"].network) if "joint" in loaded else None
    return DeblurStage(config, degradation, features, start, joint)
