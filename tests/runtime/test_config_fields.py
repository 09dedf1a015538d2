"""Names of configuration fields, and the messages for names that a configuration does not have."""

import pytest

from msdi_jax.configs import base
from msdi_jax.runtime import config_fields


def test_new_names_are_fields_and_old_ones_are_not():
    present = config_fields.flattened(base.get_config().to_dict()).keys()
    assert present >= set(config_fields.RENAMED.values())
    assert not present & config_fields.RENAMED.keys()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("native_encoder", "--config.native_encoder is now called --config.native"),
        (
            "deblur.held_out_every",
            "--config.deblur.held_out_every is now called --config.deblur.val_every",
        ),
        ("soft", "--config.augmentation.soft is now called --config.augmentation.gaussian_blur"),
        (
            "held_out_images",
            "--config.reblur.held_out_images is now called --config.reblur.val_images; "
            "--config.deblur.held_out_images is now called --config.deblur.val_images",
        ),
        (
            "deblur.step",
            "--config.deblur.step is not a field of this configuration: "
            "did you mean --config.deblur.steps?",
        ),
        (
            "colour",
            "--config.colour is not a field of this configuration: "
            "`msdi train --help-config` prints all fields",
        ),
    ],
)
def test_an_unknown_field_is_explained(path, message):
    known = config_fields.flattened(base.get_config().to_dict())
    assert config_fields.unknown_field_message(path, known) == message


def test_without_known_fields_nothing_is_suggested():
    assert "did you mean" not in config_fields.unknown_field_message("deblur.step")


def test_fields_that_may_change_or_are_off_are_left_out():
    config = {"mesh": {"data": 2}, "deblur": {"log_every": 10, "crop": 256, "context": 0}}
    assert config_fields.of_what_is_computed(config) == {"deblur.crop": 256}
