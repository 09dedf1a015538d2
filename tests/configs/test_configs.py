"""The shipped configurations: complete, and fit for the builders and the checks of a run."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from msdi_jax.configs import ablation
from msdi_jax.data.records import read_settings
from msdi_jax.models import cost, model
from msdi_jax.training import checks

FILES = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
NAMES = [file.stem for file in FILES if file.stem not in ("__init__", "base")]


def module(name):
    return importlib.import_module(f"msdi_jax.configs.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_tells_command_and_hardware(name):
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
    ("name", "network", "batch_size"),
    [
        ("gopro_deblur", "msdi2_net", 24),
        ("gopro_deblur_v1", "msdi_net", 64),
        ("realblur_j_deblur", "msdi2_net", 24),
        ("realblur_r_deblur", "msdi2_net", 24),
    ],
)
def test_stage_2_asks_for_a_representation(name, network, batch_size, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = module(name).get_config()
    # Published: on eight devices, three (version 2) or eight (version 1) each.
    assert config.deblur.batch_size == batch_size
    with pytest.raises(ValueError, match=config.deblur.degradation_from):
        checks.check(config)
    for kind, told in (("msdi_net", "version=1"), ("msdi2_net", "version=2")):
        found = model.Description(kind, 64, 128, {}, "")
        monkeypatch.setattr(model, "describe", lambda path, found=found: found)
        if kind == network:
            checks.check(config)
        else:
            with pytest.raises(ValueError, match=told):
                checks.check(config)


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
        checks.check(config)


def test_stage_1_and_fine_tuning_check(monkeypatch):
    checks.check(module("gopro_reblur").get_config())
    config = module("finetune").get_config()
    with pytest.raises(ValueError, match="degradation_from is empty"):
        checks.check(config)
    config.deblur.start_from = "model"
    found = model.Description("msdi2_net", 64, 128, {}, "")
    monkeypatch.setattr(model, "describe", lambda path: found)
    checks.check(config)


def test_what_a_box_is_trained_with_is_checked(monkeypatch):
    checks.check(module("box_reblur").get_config())
    config = module("box_deblur").get_config()
    config.contrast, config.deblur.context = False, 0
    published = model.Description("joint", 8, 16, {}, "")
    native = model.Description("joint", 8, 16, {}, "", native=True)
    monkeypatch.setattr(model, "describe", lambda path: native)
    checks.check(config)
    config.native = False
    with pytest.raises(ValueError, match="a native encoder: set native=True"):
        checks.check(config)
    monkeypatch.setattr(model, "describe", lambda path: published)
    checks.check(config)
    config.native = True
    with pytest.raises(ValueError, match=r"published kind of encoder: set native=False"):
        checks.check(config)
    monkeypatch.setattr(model, "describe", lambda path: native)
    config.contrast = True
    with pytest.raises(ValueError, match="sees light: set contrast=False"):
        checks.check(config)
    config.contrast = False
    config.deblur.psnr_floor = 0
    with pytest.raises(ValueError, match="psnr_floor=0 must be above 0"):
        checks.check(config)
    config.deblur.psnr_floor = 1e-4
    config.deblur.context = 48
    with pytest.raises(ValueError, match=r"context=48 and deblur.crop=\d+ must be multiples of 32"):
        checks.check(config)
    config.deblur.context = 64
    checks.check(config)
    config.native = False
    monkeypatch.setattr(model, "describe", lambda path: published)
    with pytest.raises(ValueError, match="context=64 is for native encoders"):
        checks.check(config)
    config.deblur.context = 0
    config.deblur.update({"depth": 5, "patch": 2})
    with pytest.raises(ValueError, match=r"depth=5, deblur.patch=2: .* a divisor of 16"):
        checks.check(config)
    config.deblur.update({"depth": 3, "patch": 2, "width": 24, "start_from": "model"})
    other = model.Description("msdi2_net", 24, 48, {}, "", depth=3, degradation_width=8)
    monkeypatch.setattr(model, "describe", lambda path: other)
    with pytest.raises(ValueError, match=r"another msdi2_net model: set deblur\.patch=1, or give"):
        checks.check(config)
    config.deblur.update({"patch": 1})
    checks.check(config)
    config.deblur.injected = (2, 3)
    with pytest.raises(ValueError, match=r"modulates nothing: .*depth=3 have skips at \(0, 1\)"):
        checks.check(config)
    config.deblur.injected = (0, 1, 2, 3)
    config.initial = "quick"
    with pytest.raises(ValueError, match="initial='quick' must be 'published' or 'calibrated'"):
        checks.check(config)


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        ("dataset", "name", "gopro", "'gopro' are pairs already: set dataset.name='camera_shake'"),
        ("reblur", "generated", 7, r"batch_size=24 divides twins: .* of reblur.generated=7"),
        ("reblur", "generated", 10, r"batch_size=24 divides twins: .* of reblur.generated=10"),
        ("reblur", "generated", -8, "motion_weight=1 and reblur.generated=-8 must be at least 0"),
        (None, "native", False, "motion_weight=1 asks for .* set native=True"),
        ("reblur", "accumulate", 2, "accumulate divides twins: .* leave it 1"),
        ("reblur", "shared_blur", False, "motion_weight is of twins: set reblur.shared_blur=True"),
    ],
)
def test_what_twins_need_is_checked(section, field, value, message):
    config = module("twins").get_config()
    (config[section] if section else config)[field] = value
    with pytest.raises(ValueError, match=message):
        checks.check(config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": 3, "stages": ("deblur",)}, "version=3 must be 1 or 2"),
        ({"width": 0}, "width=0 must be at least 1"),
        ({"deblur.learning_rate": -1}, "deblur.learning_rate=-1 must be above 0"),
        ({"deblur.log_every": 0}, "deblur.log_every=0 must be at least 1"),
        ({"reblur.batch_norm_groups": 3}, "batch_norm_groups=3 must divide the"),
        ({"reblur.vgg_weights": "/nowhere.pth"}, "/nowhere.pth is no file"),
    ],
)
def test_what_could_only_fail_later_is_refused(fields, message):
    config = module("quickstart").get_config()
    config.update_from_flattened_dict(fields)
    with pytest.raises(ValueError, match=message):
        checks.check(config)


@pytest.mark.parametrize("name", ablation.VARIANTS)
def test_ablations_differ_by_one_line(name):
    full, config = ablation.get_config().to_dict(), ablation.get_config(name).to_dict()
    differences = checks._differences(full, config)
    changed = {line.split(":")[0] for line in differences} - {"ablation"}
    assert changed == set(ablation.VARIANTS[name])
    checks.check(ablation.get_config(name))


def test_an_unknown_ablation_is_refused():
    with pytest.raises(ValueError, match="no ablation 'all': choose one of full, no_degradation"):
        ablation.get_config("all")


def test_the_model_in_the_box_can_be_trained_on():
    checks.check(module("continued").get_config())


def test_what_a_model_differs_in_can_be_set_as_told():
    """`summary` and the refusal name the same fields, and with them training goes on."""
    config = module("finetune").get_config()
    config.deblur.start_from = str(model.BUNDLED)
    with pytest.raises(
        ValueError, match="another msdi2_net model: set width=8, native_enc"
    ) as told:
        checks.check(config)
    last = cost.text(model.describe(model.BUNDLED)).splitlines()[-1]
    assert last.startswith("To go on training it: ")
    for option in last.removeprefix("To go on training it: ").split():
        field, value = option.removeprefix("--config.").split("=")
        assert f"{field}={value}" in str(told.value)
        config.update_from_flattened_dict({field: ast.literal_eval(value)})
    checks.check(config)
