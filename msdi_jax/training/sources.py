"""Models that a stage takes weights from: their paths, checks and arrays."""

import operator
from pathlib import Path

import jax
import ml_collections
from flax import nnx

from msdi_jax import models
from msdi_jax.interop import convert
from msdi_jax.models import DIRECTORIES, ESTIMATING, Architecture, Model
from msdi_jax.networks.functional import Arrays, arrays_of
from msdi_jax.runtime import processes
from msdi_jax.training.shared_blur import check_photographs


def find_sources(name: str, config: ml_collections.ConfigDict, workdir: Path) -> dict[str, Path]:
    """Return the model directories that stage `name` takes weights from.

    "start" is the model whose training continues. Stage 2 also takes, from the model that `config`
    names or from this run's stage 1, the encoder, "degradation", and the network that reblurs
    crops, "joint". Without "degradation", it uses the encoder of "start".
    """
    paths = {}
    if path := config[name].start_from:
        paths["start"] = models.find(path, DIRECTORIES[name])
    if name == "deblur":
        stage_1 = workdir / DIRECTORIES["reblur"] if "reblur" in config.stages else ""
        if path := stage_1 or config.deblur.degradation_from:
            paths["degradation"] = models.find(path, *DIRECTORIES.values())
        if config.augmentation.reblurred:
            path = config.deblur.reblurred_by or stage_1
            paths["joint"] = models.find(path, DIRECTORIES["reblur"])
    return paths


def check_sources(name: str, config: ml_collections.ConfigDict) -> None:
    """Raise ValueError unless stage `name` can take its weights and photographs from its files."""
    check_start(name, config)
    if name == "reblur":
        check_photographs(config)
        check_vgg(config.reblur.vgg_weights)
    else:
        check_encoders(config)
        check_joint(config.deblur.reblurred_by)


def check_start(stage: str, config: ml_collections.ConfigDict) -> None:
    """Raise ValueError unless `start_from` has the architecture that `stage` trains."""
    path = config[stage].start_from
    if not path:
        return
    start = models.read_description(models.find(path, DIRECTORIES[stage])).architecture
    wanted = Architecture.from_config(config, stage)
    if (start.kind, wanted.kind) == ("nafnet", "modulated_nafnet"):
        _check_unmodulated_start(start, wanted, config)
        return
    if start.kind != wanted.kind:
        raise ValueError(
            f"{stage}.start_from={path} is a {start.kind} model, not {wanted.kind}: give another "
            "model"
        )
    if start != wanted:
        changes = differing_fields(start, config)
        raise ValueError(
            f"{stage}.start_from={path} is a different {start.kind}: set "
            + ", ".join(f"{field}={value}" for field, value in changes.items())
            + ", or give another model"
        )


def _check_unmodulated_start(
    start: Architecture, wanted: Architecture, config: ml_collections.ConfigDict
) -> None:
    path = config.deblur.start_from
    if (start.width, start.blocks) != (wanted.width, wanted.blocks):
        raise ValueError(
            f"deblur.start_from={path} is a different nafnet: set deblur.width={start.width}, "
            f"deblur.blocks={start.blocks}, or give another model"
        )
    if not ("reblur" in config.stages or config.deblur.degradation_from):
        raise ValueError(
            f"deblur.start_from={path} has no degradation encoder: give deblur.degradation_from too"
        )


def with_modulation(start: nnx.Module, architecture: Architecture) -> nnx.Module:
    """Return a modulated NAFNet with the weights of a NAFNet, which it then equals."""
    network = architecture.build(nnx.Rngs(0))
    nnx.update(network, nnx.state(start))
    return network


def differing_fields(
    architecture: Architecture, config: ml_collections.ConfigDict
) -> dict[str, object]:
    """Return the fields of `config`, with values, that must change to give `architecture`."""
    overrides = architecture.config_overrides()
    return {f: value for f, value in overrides.items() if operator.attrgetter(f)(config) != value}


def check_encoders(config: ml_collections.ConfigDict) -> None:
    """Raise ValueError unless the encoders that stage 2 takes have its sizes."""
    _check_encoder("degradation_from", config, ESTIMATING, ("version", "native", "contrast"))
    # Features of version 1's encoder can also train version 2.
    _check_encoder("features_from", config, (*ESTIMATING, "encoder"), ("native", "contrast"))


def _check_encoder(
    field: str, config: ml_collections.ConfigDict, kinds: tuple[str, ...], same: tuple[str, ...]
) -> None:
    path = config.deblur[field]
    if not path:
        return
    encoder = models.read_description(models.find(path, *DIRECTORIES.values())).architecture
    if encoder.kind not in kinds:
        raise ValueError(
            f"deblur.{field}={path} is a {encoder.kind} model: give one of {', '.join(kinds)}"
        )
    wanted = {name: getattr(encoder, name) for name in same}
    wanted["width"] = encoder.encoder["width"]
    if changes := {name: value for name, value in wanted.items() if config[name] != value}:
        raise ValueError(
            f"deblur.{field}={path} has a different degradation encoder: set "
            + ", ".join(f"{name}={value}" for name, value in changes.items())
            + ", or give another model"
        )


def check_joint(path: str) -> None:
    """Raise ValueError unless `path` is empty, or a model that reblurs."""
    if not path:
        return
    model = models.read_description(models.find(path, DIRECTORIES["reblur"]))
    if not model.architecture.reblurs:
        raise ValueError(
            f"deblur.reblurred_by={path} is a {model.architecture.kind} model, which does not "
            "reblur: give a joint network, the model-reblur of a run of stage 1"
        )


def check_vgg(path: str) -> None:
    """Raise ValueError unless `path` is empty, a file, or a VGG19 model directory."""
    if not path or Path(path).is_file():
        return
    is_model = Path(path).is_dir()
    if not is_model or models.read_description(path).architecture.kind != "vgg19":
        raise ValueError(
            f"reblur.vgg_weights={path} is neither torchvision's VGG19 file nor the model "
            "directory converted from it: leave it empty to train without the perceptual term"
        )


def load_on_host(path: Path | str) -> Model:
    """Load a model with NumPy arrays: stages place their own copies on devices."""
    loaded = models.load(path)
    nnx.update(loaded.network, jax.device_get(nnx.state(loaded.network)))
    return loaded


def load_encoder(path: Path | str) -> Arrays:
    """Load the arrays of a degradation encoder, alone or in a network."""
    loaded = load_on_host(models.find(path, *DIRECTORIES.values()))
    alone = loaded.architecture.kind == "encoder"
    return arrays_of(loaded.network if alone else loaded.estimator.encoder)


def load_vgg(path: str) -> Arrays | None:
    """Load VGG19's arrays; None, with a notice, when `path` is empty."""
    if not path:
        processes.print_once(
            "no VGG19 weights (reblur.vgg_weights is empty): training without the perceptual term"
        )
        return None
    return jax.device_get(convert.read_vgg(path))
