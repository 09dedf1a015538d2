"""A whole run: data, its stages one after the other, models, evaluation, report.

Everything lands in the run directory; started again on it, a run goes on where it stopped.
"""

import contextlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax
import ml_collections
from flax import nnx

from msdi_jax import report
from msdi_jax.data import pipeline, records, validation
from msdi_jax.data.readable import SkipDamaged
from msdi_jax.evaluation import test_sets
from msdi_jax.interop import convert
from msdi_jax.models import model
from msdi_jax.models.model import DIRECTORIES, find
from msdi_jax.networks.functional import Arrays, arrays_of
from msdi_jax.runtime import directory_lock, processes
from msdi_jax.runtime.mesh import make_mesh
from msdi_jax.training import checks, provenance, stage1_reblur, stage2_deblur
from msdi_jax.training.final_evaluation import SUFFIXES, evaluate_run
from msdi_jax.training.loop import Interrupted, StopRequest, train
from msdi_jax.training.stage import Stage
from msdi_jax.training.state import State


def run(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Runs `config` (fields: `configs/base.py`) in `workdir`.

    Raises:
        ValueError: before anything is written, when the configuration is unusable or `workdir`
            belongs to another one, other data or another process; later, what `train` raises.
        Interrupted: see `train`.
    """
    checks.check(config)
    checks.check_workdir(config, workdir)
    data = processes.first_then_others("data", lambda: _open_data(config))
    checks.check_data(data.configuration, workdir)
    _check_sizes(config, workdir, data)
    # The others see what the first has written: all of them at once would be in each other's way.
    with directory_lock.alone_in(workdir) if processes.is_first() else contextlib.nullcontext():
        if processes.is_first():
            checks.claim(config, data.configuration, workdir)
        processes.wait_for_all("workdir")
        _train_and_evaluate(config, workdir, data)


def _train_and_evaluate(config: ml_collections.ConfigDict, workdir: Path, data: "_Data") -> None:
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
            description = provenance.describe(name, config, workdir)
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
        evaluate_run(config, workdir, data.test, data.configuration)
        print(f"report: {report.write_report(workdir)}", flush=True)


def _save(
    name: str,
    stage: Stage,
    states: dict[str, State],
    description: model.Description,
    workdir: Path,
) -> None:
    """Model directories of all kinds of weights; the last one's tells that the stage is done."""
    if processes.is_first():
        for kind, suffix in SUFFIXES.items():
            if kind in states:
                found = provenance.at_step(description, int(states[kind].step), kind)
                path = workdir / f"{DIRECTORIES[name]}{suffix}"
                model.save(path, stage.network(states[kind]), found)
    processes.wait_for_all(f"{name} saved")


class _Data(NamedTuple):
    """A prepared set: what to train, look at while training, and test on, and which set it is."""

    train: Sequence[Mapping]
    val: Sequence[Mapping]
    test: Sequence[Mapping]
    configuration: str
    # Of frames to train on, see `records.training_sizes`.
    sizes: Mapping[str, int] = MappingProxyType({})


def _open_data(config: ml_collections.ConfigDict) -> _Data:
    """`data/NAME`, prepared when it is not."""
    dataset = config.dataset
    fields = dataset.to_dict()
    builder = records.find_builder(fields.pop("name"))
    directory = fields.pop("directory")
    # What prepare() takes, or passes on to the builder's own settings.
    known = inspect.signature(getattr(builder, "Settings", builder.prepare)).parameters
    if foreign := [f"dataset.{field}" for field in fields if field not in known]:
        raise ValueError(
            f"{', '.join(foreign)}: {dataset.name} has no such fields: take a configuration "
            "that is for this data set"
        )
    path = Path(builder.prepare(directory, **fields))
    train, test = builder.open_split(path, "train"), SkipDamaged(builder.open_split(path, "test"))
    val = test
    if config.val:
        train, aside = validation.divide(train, records.photographs(path), config.val)
        val = SkipDamaged(aside)
    sizes = records.training_sizes(path)
    return _Data(train, val, test, test_sets.configuration(path), sizes)


def _check_sizes(config: ml_collections.ConfigDict, workdir: Path, data: _Data) -> None:
    """Refuses, before the first stage is trained, frames that are too small for a later one."""
    for name in config.stages:
        settings = config[name]
        if (workdir / DIRECTORIES[name]).exists():
            continue
        context = settings.get("context", 0)
        pipeline.centre_crops(data.val, settings.crop, settings.val_images, context)
        # Test frames are whole, those to train on may be tiles: the first tells of what size.
        if not (settings.get("shared_blur") or config.skip_damaged):
            crop = pipeline.RandomCrop(settings.crop, context)
            crop.check(SkipDamaged(data.train)[0])
            _check_frames(data.sizes, crop)


def _check_frames(sizes: Mapping[str, int], crop: pipeline.RandomCrop) -> None:
    """Frames smaller than tiles stay whole, and the first record need not be one of them."""
    small = {size: n for size, n in sizes.items() if min(map(int, size.split("×"))) < crop.size}
    if small:
        told = ", ".join(f"{count} of {size} px" for size, count in small.items())
        raise ValueError(
            f"frames to train on are smaller than the {crop.size} px that a crop of {crop.crop} px "
            f"needs ({told}): lower the crop, or remove these pairs and prepare the rest"
        )


def make_stage(name: str, config: ml_collections.ConfigDict, workdir: Path) -> Stage:
    """The stage `name`; stage 2 takes the encoder that `config` names, or this run's own."""
    sources = provenance.sources(name, config, workdir)
    loaded = {key: _load(path) for key, path in sources.items()}
    network = loaded["start"].network if "start" in loaded else None
    if name == "reblur":
        return stage1_reblur.ReblurStage(config, _vgg(config.reblur), network)
    degradation = arrays_of((loaded.get("degradation") or loaded["start"]).estimator)
    encoder = degradation["encoder"]
    if config.deblur.features_from:
        encoder = _encoder(config.deblur.features_from)
    return stage2_deblur.DeblurStage(config, degradation, encoder["shallow"], network)


def _load(path: Path | str) -> model.Model:
    """With a network of host arrays: stages place their own."""
    loaded = model.load(path)
    nnx.update(loaded.network, jax.device_get(nnx.state(loaded.network)))
    return loaded


def _encoder(path: Path | str) -> Arrays:
    loaded = _load(find(path, *DIRECTORIES.values()))
    alone = loaded.description.network == "encoder"
    return arrays_of(loaded.network if alone else loaded.estimator.encoder)


def _vgg(settings: ml_collections.ConfigDict) -> Arrays | None:
    if not settings.vgg_weights:
        processes.print_once(
            "no VGG19 weights (reblur.vgg_weights is empty): training without the perceptual term"
        )
        return None
    return jax.device_get(convert.read_vgg(settings.vgg_weights))
