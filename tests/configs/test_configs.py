"""The shipped configurations: complete, and fit for the builders and the checks of a run."""

import ast
import importlib
import operator
import re
from pathlib import Path

import pytest

from msdi_jax import models
from msdi_jax.configs import ablation, backbones, bundled, describe
from msdi_jax.data.records import read_settings
from msdi_jax.models import Architecture, cost
from msdi_jax.runtime.config_fields import flattened
from msdi_jax.training import run

FOLDER = Path(__file__).parents[2] / "configs"
NAMES = describe.names()


def module(name):
    return importlib.import_module(f"msdi_jax.configs.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_starts_from_base_alone(name):
    nodes = ast.walk(ast.parse((FOLDER / f"{name}.py").read_text()))
    imports = {ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)}
    assert imports == {
        "from ml_collections import ConfigDict",
        "from msdi_jax.configs import base",
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_has_command_and_hardware(name):
    text = module(name).__doc__
    command = rf"python launch\.py --config configs/{name}\.py(:\w+)? --workdir runs/"
    assert re.search(command, text)
    assert "Hardware: " in text


@pytest.mark.parametrize("name", NAMES)
def test_the_data_set_takes_the_fields(name):
    dataset = module(name).get_config().dataset.to_dict()
    assert dataset["directory"] == "prepared"
    read_settings(dataset)


@pytest.mark.parametrize(
    ("name", "version", "batch_size"),
    [
        ("gopro_deblur", 2, 24),
        ("gopro_deblur_v1", 1, 64),
        ("realblur_j_deblur", 2, 24),
        ("realblur_r_deblur", 2, 24),
    ],
)
def test_stage_2_asks_for_a_representation(name, version, batch_size, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = module(name).get_config()
    # Published: on eight devices, three (version 2) or eight (version 1) each.
    assert config.deblur.batch_size == batch_size
    with pytest.raises(ValueError, match=config.deblur.degradation_from):
        run.check_config(config)
    for other in (1, 2):
        found = models.Description(models.Architecture("msdi_net", 64, version=other), {}, "")
        monkeypatch.setattr(models, "read_description", lambda path, found=found: found)
        if other == version:
            run.check_config(config)
        else:
            with pytest.raises(ValueError, match=f"version={other}"):
                run.check_config(config)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("val", -1),
        ("reblur.adam_b1", 1.0),
        ("reblur.adam_b2", 1.0),
        ("reblur.adam_eps", 0.0),
        ("reblur.ema_decay", 1.0),
        ("reblur.final_learning_rate", -1e-7),
        ("reblur.degradation_rate", -1.0),
    ],
)
def test_numbers_that_cannot_be_are_refused(field, value):
    config = module("gopro_reblur").get_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=f"{field}={value:g}|{field}={value}"):
        run.check_config(config)


def test_stage_1_and_fine_tuning_check(monkeypatch):
    run.check_config(module("gopro_reblur").get_config())
    config = module("finetune").get_config()
    with pytest.raises(ValueError, match="degradation_from is empty"):
        run.check_config(config)
    config.deblur.start_from = "model"
    found = models.Description(models.Architecture("msdi_net", 64), {}, "")
    monkeypatch.setattr(models, "read_description", lambda path: found)
    run.check_config(config)


def test_what_the_bundled_model_is_trained_with_is_checked(monkeypatch):
    config = bundled.get_config("reblur")
    # Its own are made by hand.
    config.dataset.photographs = None
    run.check_config(config)
    config = bundled.get_config("deblur")
    config.contrast = False
    published = models.Description(models.Architecture("reblur_deblur_net", 8), {}, "")
    native = models.Description(models.Architecture("reblur_deblur_net", 8, native=True), {}, "")
    monkeypatch.setattr(models, "read_description", lambda path: native)
    run.check_config(config)
    config.native = False
    with pytest.raises(ValueError, match="different degradation encoder: set native=True"):
        run.check_config(config)
    monkeypatch.setattr(models, "read_description", lambda path: published)
    run.check_config(config)
    config.native = True
    with pytest.raises(ValueError, match=r"different degradation encoder: set native=False"):
        run.check_config(config)
    monkeypatch.setattr(models, "read_description", lambda path: native)
    config.contrast = True
    with pytest.raises(ValueError, match="different degradation encoder: set contrast=False"):
        run.check_config(config)
    config.contrast = False
    config.deblur.psnr_floor = 0
    with pytest.raises(ValueError, match="psnr_floor=0 must be above 0"):
        run.check_config(config)
    config.deblur.psnr_floor = 1e-4
    config.deblur.context = 48
    with pytest.raises(ValueError, match=r"context=48 and deblur.crop=\d+ must be multiples of 32"):
        run.check_config(config)
    config.deblur.context = 64
    run.check_config(config)
    config.native = False
    monkeypatch.setattr(models, "read_description", lambda path: published)
    with pytest.raises(ValueError, match="context=64 needs a native encoder"):
        run.check_config(config)
    config.deblur.context = 0
    config.deblur.update({"depth": 5, "patch": 2})
    with pytest.raises(ValueError, match=r"depth=5, deblur.patch=2: .* a divisor of 16"):
        run.check_config(config)
    config.deblur.update({"depth": 3, "patch": 2, "width": 24, "start_from": "model"})
    other = models.Description(
        models.Architecture("msdi_net", 24, depth=3, degradation_width=8), {}, ""
    )
    monkeypatch.setattr(models, "read_description", lambda path: other)
    with pytest.raises(ValueError, match=r"different msdi_net: set deblur\.patch=1, or give"):
        run.check_config(config)
    config.deblur.update({"patch": 1})
    run.check_config(config)
    config.deblur.injected = (2, 3)
    with pytest.raises(ValueError, match=r"modulates nothing: .*depth 3 has skips at \(0, 1\)"):
        run.check_config(config)
    config.deblur.injected = (0, 1, 2, 3)
    config.initial = "quick"
    with pytest.raises(ValueError, match="initial='quick' must be one of published, calibrated"):
        run.check_config(config)


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        ("dataset", "name", "gopro", "'gopro' holds pairs: set dataset.name='camera_shake'"),
        ("reblur", "generated", 7, r"batch_size=24 must be a multiple of reblur.generated=7"),
        ("reblur", "generated", 10, r"batch_size=24 must be a multiple of reblur.generated=10"),
        ("reblur", "generated", -8, "motion_weight=1 and reblur.generated=-8 must be at least 0"),
        (None, "native", False, "motion_weight=1 needs .* set native=True"),
        ("reblur", "accumulate", 2, "accumulate=2 would separate .* set reblur.accumulate=1"),
        ("reblur", "shared_blur", False, "motion_weight=1 needs .*: set reblur.shared_blur=True"),
    ],
)
def test_what_shared_blur_needs_is_checked(section, field, value, message):
    config = bundled.get_config("reblur")
    (config[section] if section else config)[field] = value
    with pytest.raises(ValueError, match=message):
        run.check_config(config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": 3, "stages": ("deblur",)}, "version=3 must be 1 or 2"),
        ({"width": 0}, "width=0 must be at least 1"),
        ({"deblur.learning_rate": -1}, "deblur.learning_rate=-1 must be above 0"),
        ({"deblur.log_every": 0}, "deblur.log_every=0 must be at least 1"),
        ({"reblur.batch_norm_groups": 3}, "batch_norm_groups=3 must divide the"),
        ({"reblur.vgg_weights": "/nowhere.pth"}, "/nowhere.pth is neither"),
    ],
)
def test_what_could_only_fail_later_is_refused(fields, message):
    config = module("quickstart").get_config()
    config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=message):
        run.check_config(config)


@pytest.mark.parametrize("name", ablation.VARIANTS)
def test_ablations_differ_by_one_line(name):
    full, config = ablation.get_config().to_dict(), ablation.get_config(name).to_dict()
    full, config = flattened(full), flattened(config)
    changed = {field for field in config if config[field] != full[field]} - {"ablation"}
    assert changed == set(ablation.VARIANTS[name])
    run.check_config(ablation.get_config(name))


def test_ablations_have_the_size_of_the_quickstart():
    config = module("quickstart").get_config()
    config.ablation = "full"
    assert ablation.get_config() == config


def test_continued_training_has_the_architecture_and_the_crops_of_the_bundled_model():
    config, whole = module("continued").get_config(), bundled.get_config("deblur")
    paths = ("width", "native", "contrast", "augmentation", "deblur.width", "deblur.depth")
    for field in map(operator.attrgetter, (*paths, "deblur.patch", "deblur.crop", "mesh")):
        assert field(config) == field(whole)


def test_an_unknown_ablation_is_refused():
    with pytest.raises(ValueError, match="no ablation 'all': choose one of full, no_degradation"):
        ablation.get_config("all")


def test_an_unknown_stage_of_the_bundled_model_is_refused():
    with pytest.raises(ValueError, match="no stage 'both': choose one of reblur, deblur"):
        bundled.get_config("both")


def test_the_bundled_model_can_be_trained_further():
    run.check_config(module("continued").get_config())


def test_what_a_model_differs_in_can_be_set_as_printed():
    """`summary` and the refusal name the same fields, and with them training continues."""
    config = module("finetune").get_config()
    config.deblur.start_from = str(models.BUNDLED)
    with pytest.raises(
        ValueError, match=r"different msdi_net: set deblur\.width=32, width=8"
    ) as error:
        run.check_config(config)
    last = cost.format_table(models.read_description(models.BUNDLED).architecture).splitlines()[-1]
    assert last.startswith("To continue its training: ")
    for option in last.removeprefix("To continue its training: ").split():
        field, value = option.removeprefix("--config.").split("=")
        assert f"{field}={value}" in str(error.value)
        config.update_from_flattened_dict({field: ast.literal_eval(value)})
    run.check_config(config)


def test_the_compared_backbones_cost_the_same():
    """And each is trained by the same settings."""
    macs, trained = [], []
    for name in backbones.VARIANTS:
        config = backbones.get_config(name)
        run.check_config(config)
        macs.append(cost.count(Architecture.from_config(config, "deblur")).macs)
        trained.append([config.deblur[field] for field in ("steps", "batch_size", "crop")])
    assert max(macs) < 1.09 * min(macs)
    assert len(trained) == 5
    assert trained == trained[:1] * 5
    with pytest.raises(ValueError, match="no network 'resnet': choose one of msdi_net, hinet"):
        backbones.get_config("resnet")
