"""What is refused before a run begins: unusable configurations, foreign run directories."""

import json
import operator
from pathlib import Path

import ml_collections

from msdi_jax.configs import base
from msdi_jax.data.augment import Augmentation
from msdi_jax.data.photographs import find as find_photographs
from msdi_jax.data.synthesis.shared_blur import check_sizes, settings_of
from msdi_jax.evaluation import evaluate, protocols
from msdi_jax.models import model
from msdi_jax.models.model import DIRECTORIES, find
from msdi_jax.networks import local_statistics
from msdi_jax.networks.degradation import CELL
from msdi_jax.networks.msdi_net import LEVELS, check_form
from msdi_jax.networks.unet import DEPTH, MULTIPLE
from msdi_jax.restoration import restore
from msdi_jax.runtime import directory_lock
from msdi_jax.runtime.checkpoint import check_place
from msdi_jax.runtime.config_fields import MAY_CHANGE, STAGES
from msdi_jax.runtime.mesh import make_mesh
from msdi_jax.training import stage1_reblur, stage2_deblur
from msdi_jax.training.stage import PRODUCTS

# In a run directory: which prepared set the run is trained on.
DATA = "dataset.txt"
# Of either stage.
AT_LEAST_ONE = (
    "steps",
    "schedule_steps",
    "batch_size",
    "crop",
    "log_every",
    "val_every",
    "val_images",
    "checkpoint_every",
)
LEAST = {
    "width": 1,
    "hidden": 0,
    "seed": 0,
    "val": 0,
    "deblur.width": 0,
    "checkpoints.keep_last": 1,
    "checkpoints.keep_best": 0,
    "evaluation.samples": 0,
}


def check(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError, naming the field and the mend, for what could only fail later."""
    stages = tuple(config.stages)
    if stages not in (("reblur",), ("deblur",), STAGES):
        raise ValueError(f"stages {stages} must be ('reblur',), ('deblur',) or {STAGES}")
    if config.initial not in ("published", "calibrated"):
        raise ValueError(f"initial={config.initial!r} must be 'published' or 'calibrated'")
    if config.version not in model.VERSIONS.values():
        raise ValueError(f"version={config.version} must be 1 or 2")
    given = config.deblur.degradation_from or config.deblur.start_from
    if stages == ("deblur",) and not given:
        raise ValueError(
            "deblur.degradation_from is empty: give a stage-1 run or a model to freeze the encoder "
            "of, give deblur.start_from, or train stage 1 too by stages=('reblur', 'deblur')"
        )
    if stages == STAGES and (config.deblur.degradation_from or config.version != 2):
        raise ValueError(
            "a run of both stages takes stage 1's own degradation encoder, which is version 2: "
            "leave deblur.degradation_from empty and version at 2"
        )
    for field, least in LEAST.items():
        if (value := operator.attrgetter(field)(config)) < least:
            raise ValueError(f"{field}={value} must be at least {least}")
    if config.seed >= 2**32:
        raise ValueError(f"seed={config.seed} must be below 2**32")
    Augmentation(**config.augmentation)
    evaluate.check_restoration(config.evaluation.restore)
    protocols.check_protocols(config.evaluation.protocols)
    local_statistics.check(config.evaluation.window or 0, "evaluation.window")
    if (orientations := config.evaluation.orientations) not in (None, *restore.ORIENTATIONS):
        raise ValueError(
            f"evaluation.orientations={orientations} must be one of {restore.ORIENTATIONS}"
        )
    if config.compute_dtype not in PRODUCTS:
        raise ValueError(f"compute_dtype={config.compute_dtype!r}: choose {', '.join(PRODUCTS)}")
    if not 0 <= config.remat <= DEPTH:
        raise ValueError(f"remat={config.remat} must be a number of U-Net levels, 0 … {DEPTH}")
    for name in stages:
        _check_stage(name, config)
    if "deblur" in stages:
        _check_sources(config)
    if "reblur" in stages:
        _check_start("reblur", config, "joint")
        _check_twins(config)
        _check_groups(config.reblur)
        _check_vgg(config.reblur.vgg_weights)


def _check_stage(name: str, config: ml_collections.ConfigDict) -> None:
    settings = config[name]
    for field in AT_LEAST_ONE:
        if settings[field] < 1:
            raise ValueError(f"{name}.{field}={settings[field]} must be at least 1")
    for field in ("learning_rate", "clip_norm", "adam_eps"):
        if settings[field] <= 0:
            raise ValueError(f"{name}.{field}={settings[field]:g} must be above 0")
    for field in ("adam_b1", "adam_b2", "ema_decay"):
        if not 0 <= settings[field] < 1:
            raise ValueError(f"{name}.{field}={settings[field]:g} must be in [0, 1)")
    for field in ("final_learning_rate", "degradation_rate"):
        if settings.get(field, 0) < 0:
            raise ValueError(f"{name}.{field}={settings[field]:g} must not be below 0")
    if settings.crop % MULTIPLE:
        raise ValueError(f"{name}.crop={settings.crop} must be a multiple of {MULTIPLE}")
    shape = make_mesh(config.mesh.data, config.mesh.rows).shape
    if settings.accumulate < 1 or settings.batch_size % (shape["data"] * settings.accumulate):
        raise ValueError(
            f"{name}.batch_size={settings.batch_size} must be a multiple of the {shape['data']} "
            f"devices of mesh axis data, times {name}.accumulate={settings.accumulate}: change it, "
            "or take fewer devices by mesh.data"
        )
    if settings.crop % shape["rows"]:
        raise ValueError(
            f"{name}.crop={settings.crop} must be a multiple of mesh.rows={shape['rows']}"
        )


def _check_twins(config: ml_collections.ConfigDict) -> None:
    settings = config.reblur
    if not settings.shared_blur:
        for field in ("motion_weight", "generated"):
            if settings[field]:
                raise ValueError(
                    f"reblur.{field} is of twins: set reblur.shared_blur=True, or leave it 0"
                )
        return
    if config.dataset.name != "camera_shake":
        raise ValueError(
            f"reblur.shared_blur=True shakes photographs, and {config.dataset.name!r} are pairs "
            "already: set dataset.name='camera_shake', or leave it False"
        )
    if min(settings.motion_weight, settings.generated) < 0:
        raise ValueError(
            f"reblur.motion_weight={settings.motion_weight:g} and reblur.generated="
            f"{settings.generated} must be at least 0"
        )
    if settings.motion_weight and not config.native:
        raise ValueError(
            f"reblur.motion_weight={settings.motion_weight:g} asks for what the norms of the "
            "published encoder remove: set native=True, or leave it 0"
        )
    if settings.accumulate > 1:
        raise ValueError("reblur.accumulate divides twins: with reblur.shared_blur=True leave it 1")
    devices = make_mesh(config.mesh.data, config.mesh.rows).shape["data"]
    generated = settings.generated or settings.batch_size
    if generated % (2 * devices) or settings.batch_size % generated:
        raise ValueError(
            f"reblur.batch_size={settings.batch_size} divides twins: with reblur.shared_blur=True "
            f"it must be a multiple of {2 * devices}, and of reblur.generated={settings.generated}, "
            "which must be one too"
        )
    shakes = settings_of(config.dataset.to_dict())
    check_sizes(find_photographs(shakes.photographs).train, shakes, settings.crop)


def _check_groups(settings: ml_collections.ConfigDict) -> None:
    """Batch norm sees equal groups of what passes the generators at once."""
    passing = (settings.shared_blur and settings.generated) or settings.batch_size
    groups = settings.batch_norm_groups
    if groups < 1 or passing // settings.accumulate % groups:
        raise ValueError(
            f"reblur.batch_norm_groups={groups} must divide the {passing // settings.accumulate} "
            "images that pass the generators at once"
        )


def _check_start(stage: str, config: ml_collections.ConfigDict, network: str) -> None:
    """The weights to start from are those of this very network."""
    path = config[stage].start_from
    if not path:
        return
    found = model.describe(find(path, DIRECTORIES[stage]))
    if found.network != network:
        raise ValueError(
            f"{stage}.start_from={path} is a {found.network} model, not {network}: change version, "
            "or give another model"
        )
    asked = (stage1_reblur if stage == "reblur" else stage2_deblur).form(config) | {
        "native": config.native,
        "contrast": config.contrast,
    }
    if any(getattr(found, field) != value for field, value in asked.items()):
        wanted = {
            field: value
            for field, value in found.settings.items()
            if operator.attrgetter(field)(config) != value
        }
        raise ValueError(
            f"{stage}.start_from={path} is another {network} model: set "
            + ", ".join(f"{field}={value}" for field, value in wanted.items())
            + ", or give another model"
        )


def _check_kind(given: str, found: model.Description, config: ml_collections.ConfigDict) -> None:
    if found.native != config.native:
        kind = "a native" if found.native else "the published kind of"
        raise ValueError(
            f"{given} has {kind} encoder: set native={found.native}, or give another model"
        )
    if found.contrast != config.contrast:
        raise ValueError(
            f"{given} has an encoder that sees {'local contrast' if found.contrast else 'light'}: "
            f"set contrast={found.contrast}, or give another model"
        )


def _check_sources(config: ml_collections.ConfigDict) -> None:
    """The models that stage 2 takes parts from have them, in its sizes."""
    injected = set(config.deblur.injected)
    if not injected <= set(LEVELS):
        raise ValueError(f"deblur.injected={config.deblur.injected} must be some of {LEVELS}")
    _check_context(config)
    check_form(config.deblur.depth, config.deblur.patch, "deblur.")
    skips = range(config.deblur.depth - 1)
    if injected and injected.isdisjoint(skips):
        raise ValueError(
            f"deblur.injected={config.deblur.injected} modulates nothing: U-Nets of "
            f"deblur.depth={config.deblur.depth} have skips at {tuple(skips)}"
        )
    if config.deblur.psnr_floor <= 0:
        raise ValueError(f"deblur.psnr_floor={config.deblur.psnr_floor:g} must be above 0")
    _check_start("deblur", config, {1: "msdi_net", 2: "msdi2_net"}[config.version])
    fields = {
        "degradation_from": (config.version, model.ESTIMATING),
        "features_from": (None, (*model.ESTIMATING, "encoder")),
    }
    for field, (version, networks) in fields.items():
        path = config.deblur[field]
        if not path:
            continue
        found = model.describe(find(path, *DIRECTORIES.values()))
        if found.network not in networks:
            raise ValueError(
                f"deblur.{field}={path} is a {found.network} model: give one of "
                f"{', '.join(networks)}"
            )
        width = found.degradation_width
        if width != config.width or version not in (None, found.version):
            raise ValueError(
                f"deblur.{field}={path} has width {width} and version {found.version}: "
                f"set width={width}" + (f" and version={found.version}" if version else "")
            )
        _check_kind(f"deblur.{field}={path}", found, config)


def _check_context(config: ml_collections.ConfigDict) -> None:
    context, crop = config.deblur.context, config.deblur.crop
    if not context:
        return
    if not config.native or config.mesh.rows > 1:
        raise ValueError(
            f"deblur.context={context} is for native encoders and whole rows: set "
            "native=True and mesh.rows=1, or leave context 0"
        )
    if context < 0 or context % CELL or crop % CELL:
        raise ValueError(
            f"deblur.context={context} and deblur.crop={crop} must be multiples of {CELL}, the px "
            "of a cell of the representation, and not below 0"
        )


def _check_vgg(path: str) -> None:
    if not path or Path(path).is_file():
        return
    if not Path(path).is_dir() or model.describe(path).network != "vgg19":
        raise ValueError(
            f"reblur.vgg_weights={path} is no file of torchvision's VGG19, nor the model "
            "directory converted from it: leave it empty to train without the perceptual term"
        )


def check_workdir(config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Raises ValueError when `workdir` is something else than a run of `config`, or new."""
    check_place(workdir)
    file = workdir / "config.json"
    if not file.exists():
        if workdir.exists() and any(path.name != directory_lock.NAME for path in workdir.iterdir()):
            raise ValueError(f"{workdir} is not empty and no run directory: choose another")
        return
    now, defaults = (json.loads(c.to_json()) for c in (config, base.get_config()))
    before = _completed(json.loads(file.read_text()), now, defaults)
    differences = sorted(
        line for line in _differences(before, now) if not line.startswith(MAY_CHANGE)
    )
    if differences:
        raise ValueError(
            f"{workdir} belongs to a run of another configuration:\n  "
            + "\n  ".join(differences)
            + "\nchoose another --workdir, or delete this one to start anew"
        )


def _completed(before: dict, now: dict, defaults: dict) -> dict:
    """A run's fields, and those of today that are younger than it and off by default."""
    younger = {key: defaults.get(key) for key in now.keys() - before.keys()}
    found = before | {key: default for key, default in younger.items() if not default}
    for key in found.keys() & defaults.keys() & now.keys():
        if all(isinstance(part[key], dict) for part in (found, now, defaults)):
            found[key] = _completed(found[key], now[key], defaults[key])
    return found


def _differences(before, now, path: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = before.keys() | now.keys()
        return [
            line
            for key in keys
            for line in _differences(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if before == now else [f"{path}: {before!r} there, {now!r} here"]


def check_data(configuration: str, workdir: Path) -> None:
    """Raises ValueError when the run in `workdir` was begun with other data."""
    file = workdir / DATA
    if file.exists() and (before := file.read_text().strip()) != configuration:
        raise ValueError(
            f"{workdir} was begun on the set {before}, and now it is the set {configuration}: "
            "where images were changed, added or removed, put them back as they were; where "
            "dataset.directory was changed, name the former one; or choose another --workdir"
        )


def claim(config: ml_collections.ConfigDict, configuration: str, workdir: Path) -> None:
    """Makes `workdir`, which exists, the run directory of `config` and of a prepared set."""
    told = json.dumps(json.loads(config.to_json()), indent=2)
    for name, text in (("config.json", told), (DATA, configuration)):
        temporary = workdir / f"{name}.new"
        temporary.write_text(text + "\n")
        temporary.replace(workdir / name)
