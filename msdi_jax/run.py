"""A whole run: data, its stages one after the other, models, evaluation, report.

Everything lands in the run directory; started again on it, a run goes on where it stopped.
"""

import importlib
import json
import time
from pathlib import Path

import jax
import ml_collections

from msdi_jax import convert, deblur, model, reblur, report
from msdi_jax.evaluate import evaluate
from msdi_jax.log import held_out_ends
from msdi_jax.mesh import make_mesh
from msdi_jax.stage import Stage
from msdi_jax.state import Arrays, arrays_of
from msdi_jax.train import train
from msdi_jax.unet import MULTIPLE

STAGES = ("reblur", "deblur")
MODEL_DIRECTORIES = {"reblur": "model-reblur", "deblur": "model"}


def run(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Runs `config` (fields: `configs/base.py`) in `workdir`.

    Raises:
        ValueError: before anything is written, when the configuration is unusable or `workdir`
            belongs to another one.
        Interrupted: see `train`.
    """
    check(config)
    _check_workdir(config, workdir)
    train_source, test_source = _open_data(config.dataset)
    _claim(config, workdir)
    mesh = make_mesh(**config.mesh)
    for name in config.stages:
        if (workdir / MODEL_DIRECTORIES[name]).exists():
            print(f"{name}: finished before", flush=True)
            continue
        stage = make_stage(name, config, workdir)
        state = train(
            name,
            stage,
            config,
            workdir=workdir,
            mesh=mesh,
            train_source=train_source,
            test_source=test_source,
        )
        description = _describe(name, config)
        network = stage.network(jax.device_get(state))
        model.save(workdir / MODEL_DIRECTORIES[name], network, description)
    _evaluate(config, workdir, test_source)
    print(f"report: {report.write_report(workdir)}", flush=True)


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError, naming the field and the mend, for what could only fail later."""
    stages = tuple(config.stages)
    if stages not in (("reblur",), ("deblur",), STAGES):
        raise ValueError(f"stages {stages} must be ('reblur',), ('deblur',) or {STAGES}")
    if stages == ("deblur",) and not config.deblur.degradation_from:
        raise ValueError(
            "deblur.degradation_from is empty: give the model directory of a stage-1 run, or "
            "train stage 1 in this run by stages=('reblur', 'deblur')"
        )
    if stages == STAGES and (config.deblur.degradation_from or config.version != 2):
        raise ValueError(
            "a run of both stages takes stage 1's own degradation encoder, which is version 2: "
            "leave deblur.degradation_from empty and version at 2"
        )
    for name in stages:
        settings = config[name]
        if settings.crop % MULTIPLE:
            raise ValueError(f"{name}.crop={settings.crop} must be a multiple of {MULTIPLE}")
        shards = make_mesh(**config.mesh).shape["data"]
        if settings.batch_size % shards:
            raise ValueError(
                f"{name}.batch_size={settings.batch_size} must be a multiple of the {shards} "
                "devices of mesh axis data"
            )
    if "deblur" in stages:
        _check_degradation(config)
    _check_vgg(config.reblur.vgg_weights)


def _check_degradation(config: ml_collections.ConfigDict) -> None:
    """Both model directories have the parts that stage 2 takes from them, in its sizes."""
    fields = {
        "degradation_from": (config.version, model.ESTIMATING),
        "features_from": (None, (*model.ESTIMATING, "encoder")),
    }
    for field, (version, networks) in fields.items():
        path = config.deblur[field]
        if not path:
            continue
        found = model.describe(path)
        if found.network not in networks:
            raise ValueError(
                f"deblur.{field}={path} is a {found.network} model: give one of "
                f"{', '.join(networks)}"
            )
        if found.width != config.width or version not in (None, found.version):
            raise ValueError(
                f"deblur.{field}={path} has width {found.width} and version {found.version}: "
                f"set width={found.width}" + (f" and version={found.version}" if version else "")
            )


def _check_vgg(path: str) -> None:
    if not path or Path(path).is_file():
        return
    if not Path(path).is_dir() or model.describe(path).network != "vgg19":
        raise ValueError(
            f"reblur.vgg_weights={path} is no file of torchvision's VGG19, nor the model "
            "directory converted from it: leave it empty to train without the perceptual term"
        )


def _check_workdir(config: ml_collections.ConfigDict, workdir: Path) -> None:
    file = workdir / "config.json"
    if not file.exists():
        if workdir.exists() and any(workdir.iterdir()):
            raise ValueError(f"{workdir} is not empty and no run directory: choose another")
        return
    before, now = json.loads(file.read_text()), json.loads(config.to_json())
    differences = sorted(_differences(before, now))
    if differences:
        raise ValueError(
            f"{workdir} belongs to a run of another configuration:\n  "
            + "\n  ".join(differences)
            + "\nchoose another --workdir, or delete this one to start anew"
        )


def _differences(before, now, path: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = before.keys() | now.keys()
        return [
            line
            for key in keys
            for line in _differences(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if before == now else [f"{path}: {before!r} there, {now!r} here"]


def _claim(config: ml_collections.ConfigDict, workdir: Path) -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = workdir / "config.json.new"
    temporary.write_text(json.dumps(json.loads(config.to_json()), indent=2) + "\n")
    temporary.replace(workdir / "config.json")


def _open_data(dataset: ml_collections.ConfigDict):
    """The train and the test split of `data/NAME`, prepared when they are not."""
    fields = dataset.to_dict()
    name, directory = fields.pop("name"), fields.pop("directory")
    try:
        builder = importlib.import_module(f"data.{name}.{name}_dataset_builder")
    except ModuleNotFoundError as error:
        raise ValueError(f"dataset.name={name!r}: there is no data/{name}") from error
    path = builder.prepare(directory, **fields)
    return builder.open_split(path, "train"), builder.open_split(path, "test")


def make_stage(name: str, config: ml_collections.ConfigDict, workdir: Path) -> Stage:
    """The stage `name`; stage 2 takes the encoder that `config` names, or this run's own."""
    if name == "reblur":
        return reblur.stage(config, _vgg(config.reblur))
    source = config.deblur.degradation_from or workdir / MODEL_DIRECTORIES["reblur"]
    degradation = arrays_of(model.load(source).estimator)
    encoder = degradation["encoder"]
    if config.deblur.features_from:
        encoder = _encoder(config.deblur.features_from)
    return deblur.stage(config, degradation, encoder["shallow"])


def _encoder(path: Path | str) -> Arrays:
    loaded = model.load(path)
    alone = loaded.description.network == "encoder"
    return arrays_of(loaded.network if alone else loaded.estimator.encoder)


def _vgg(settings: ml_collections.ConfigDict) -> Arrays | None:
    if not settings.vgg_weights:
        print(
            "no VGG19 weights (reblur.vgg_weights is empty): training without the perceptual term",
            flush=True,
        )
        return None
    return convert.read_vgg(settings.vgg_weights)


def _describe(name: str, config: ml_collections.ConfigDict) -> model.Description:
    network = "joint" if name == "reblur" else {1: "msdi_net", 2: "msdi2_net"}[config.version]
    return model.Description(
        network=network,
        width=config.width,
        hidden=config.hidden or 2 * config.width,
        provenance={
            "trained": time.strftime("%Y-%m-%d"),
            "steps": config[name].steps,
            "dataset": config.dataset.name,
            "seed": config.seed,
        },
        licence="as the photographs it was trained on allow",
    )


def _evaluate(config: ml_collections.ConfigDict, workdir: Path, source) -> None:
    models = {name: model.load(workdir / MODEL_DIRECTORIES[name]) for name in config.stages}
    found = evaluate(
        source,
        deblurrer=models.get("deblur"),
        joint=models.get("reblur"),
        protocol=config.evaluation.protocol,
        samples=workdir / "samples",
        sample_count=config.evaluation.samples,
    )
    record = {
        "dataset": config.dataset.name,
        "split": "test",
        "steps": {name: config[name].steps for name in config.stages},
        "held_out": {name: held_out_ends(workdir, name) for name in config.stages},
        **found,
    }
    temporary = workdir / "evaluation.json.new"
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    temporary.replace(workdir / "evaluation.json")
    _print_figures(record)


def _print_figures(record: dict) -> None:
    kinds = [k for k in ("blurry", "deblurred", "reblurred") if f"psnr_{k}" in record]
    print(f"{record['dataset']} {record['split']}, {record['images']} images, {record['protocol']}")
    for kind in kinds:
        figures = (
            f"PSNR {record[f'psnr_{kind}']:.2f} dB  ssim_3d {record[f'ssim_3d_{kind}']:.4f}  "
            f"ssim {record[f'ssim_{kind}']:.4f}"
        )
        print(f"  {kind:10} {figures}")
    for name, ends in record["held_out"].items():
        print(
            f"  {name}: held-out loss {ends['initial']['loss']:.4g} → {ends['final']['loss']:.4g}"
        )
