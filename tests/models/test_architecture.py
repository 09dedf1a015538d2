"""Architectures: their networks, and configurations in both directions."""

import ast

import pytest
from flax import nnx

from msdi_jax.configs import base
from msdi_jax.models import architecture
from msdi_jax.models.architecture import KINDS, Architecture


def test_defaults_are_the_published_sizes():
    published = Architecture("msdi_net")
    assert (published.width, published.degradation_width, published.hidden) == (64, 64, 128)
    assert (published.version, published.depth, published.patch) == (2, 5, 1)
    assert published.injected == (0, 1, 2, 3)
    assert (published.native, published.contrast) == (False, False)
    small = Architecture("msdi_net", degradation_width=8)
    assert (small.width, small.hidden) == (8, 16)


def test_fields_of_other_kinds_are_none_and_refused():
    assert Architecture("encoder", 4).depth is None
    with pytest.raises(ValueError, match="encoder has no depth=3"):
        Architecture("encoder", 4, depth=3)
    with pytest.raises(ValueError, match="reblur_deblur_net has no version=1"):
        Architecture("reblur_deblur_net", 4, version=1)
    with pytest.raises(ValueError, match="'nafnot' is unknown: choose one of msdi_net, "):
        Architecture("nafnot")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_built_with_its_fields(kind, monkeypatch):
    given = {}

    class Network(KINDS[kind].network):
        def __init__(self, **arguments):
            given.update(arguments)

    wanted = Architecture(kind, 64)
    entry = architecture.Kind(Network, **{"fixed": KINDS[kind].fixed})
    entry.__dict__["arguments"] = KINDS[kind].arguments
    monkeypatch.setitem(KINDS, kind, entry)
    rngs = nnx.Rngs(0)
    wanted.build(rngs, remat=2)
    assert given.pop("rngs") is rngs
    assert given.pop("remat") == 2
    assert given == {field: getattr(wanted, field) for field in given}
    assert set(given) == set(KINDS[kind].arguments)


@pytest.mark.parametrize(
    ("stage", "wanted"),
    [
        ("reblur", Architecture("reblur_deblur_net", 8, hidden=5, native=True)),
        ("deblur", Architecture("msdi_net")),
        ("deblur", Architecture("nafnet", 32, blocks=(1, 2, 1))),
        ("deblur", Architecture("modulated_nafnet", 16, degradation_width=8, injected=(1,))),
        ("deblur", Architecture("hinet", 8)),
        ("deblur", Architecture("msdi_net", 2, version=1)),
        (
            "deblur",
            Architecture(
                "msdi_net", 24, degradation_width=8, depth=3, patch=2, injected=(), contrast=True
            ),
        ),
    ],
)
def test_overrides_give_the_architecture_from_a_configuration(stage, wanted):
    config = base.get_config()
    # As typed on a command line.
    for field, value in wanted.config_overrides().items():
        typed = value if isinstance(value, str) else ast.literal_eval(str(value))
        config.update_from_flattened_dict({field: typed})
    assert Architecture.from_config(config, stage) == wanted


def test_fields_derived_from_the_width_are_0_in_a_configuration():
    overrides = Architecture("msdi_net", 8).config_overrides()
    assert (overrides["width"], overrides["deblur.width"], overrides["hidden"]) == (8, 0, 0)
    given = Architecture("msdi_net", 8, degradation_width=4, hidden=10).config_overrides()
    assert (given["width"], given["deblur.width"], given["hidden"]) == (4, 8, 10)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 0}, "^width=0 must be at least 1"),
        ({"hidden": -1}, "hidden=-1 must be at least 1"),
        ({"version": 3}, "version=3 must be 1 or 2"),
        ({"depth": 5, "patch": 2}, "depth=5, patch=2: depth must be 2 … 5, .* divisor of 16"),
        ({"patch": 0}, "depth=5, patch=0: depth must be"),
        ({"injected": (4,)}, r"injected=\(4,\) must be some of"),
        ({"depth": 3, "injected": (2, 3)}, r"modulates nothing: .* depth 3 has skips at \(0, 1\)"),
    ],
)
def test_impossible_sizes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        Architecture("msdi_net", **sizes).check()


def test_messages_use_the_names_of_the_configuration():
    names = KINDS["msdi_net"].config_paths
    with pytest.raises(ValueError, match=r"deblur\.depth=6, deblur\.patch=1: depth must"):
        Architecture("msdi_net", depth=6).check(names)
    Architecture("msdi_net", depth=3, injected=()).check(names)
    with pytest.raises(ValueError, match=r"reblur\.depth=7, patch=1: depth must be"):
        Architecture("reblur_deblur_net", depth=7).check(KINDS["reblur_deblur_net"].config_paths)
