"""The descriptions of fields: complete for every experiment, and read from the right comments."""

import pytest

from msdi_jax.cli import experiment
from msdi_jax.configs import ablation, base, bundled, describe
from msdi_jax.runtime import config_fields

EXPERIMENTS = [
    *(name for name in describe.names() if name not in ("ablation", "bundled")),
    *(f"ablation:{name}" for name in ablation.VARIANTS),
    *(f"bundled:{name}" for name in bundled.VARIANTS),
]


@pytest.mark.parametrize("name", ["base", *EXPERIMENTS])
def test_every_field_has_a_description(name):
    config = experiment.load(name)
    fields = describe.describe_fields(config)
    values = config_fields.flattened(config.to_dict())
    assert {field.path: field.default for field in fields} == values
    assert not [field.path for field in fields if len(field.description) < 10]


def test_a_description_is_the_comment_above_the_field():
    descriptions = {
        field.path: field.description for field in describe.describe_fields(base.get_config())
    }
    assert descriptions["mesh.rows"] == "Devices that the rows of every image are split over."
    assert descriptions["deblur.depth"] == "Levels of the U-Nets. Published: 5."
    # Two lines become one; both stages share the description.
    assert descriptions["deblur.start_from"] == descriptions["reblur.start_from"]
    assert descriptions["deblur.start_from"].endswith("bundled model; empty: random weights.")


def test_fields_come_in_the_order_of_the_file():
    paths = [field.path for field in describe.describe_fields(base.get_config())]
    assert paths[:3] == ["seed", "stages", "ablation"]
    assert paths.index("mesh.data") < paths.index("dataset.name") < paths.index("reblur.steps")
    assert paths.index("reblur.steps") < paths.index("reblur.crop") < paths.index("deblur.steps")


def test_help_shows_the_values_of_an_experiment():
    text = describe.format_help(bundled.get_config("deblur"))
    assert "  --config.deblur.crop=192\n        Side of the training crops, in px," in text
    assert "--config.deblur.crop=256\n" in describe.format_help(base.get_config())
    assert max(map(len, text.splitlines())) <= 100
