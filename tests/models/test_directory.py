import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from msdi_jax import models
from msdi_jax.models import directory
from msdi_jax.networks.functional import arrays_of
from tests.models.samples import DESCRIPTION, Echo, assert_same_arrays


def test_saved_models_are_loaded_unchanged(saved, loaded, network):
    assert loaded.description == DESCRIPTION
    assert_same_arrays(arrays_of(loaded.network), arrays_of(network))
    assert sorted(p.name for p in saved.iterdir()) == ["arrays", "model.json"]
    assert [p.name for p in saved.parent.iterdir()] == ["model"]
    assert json.loads((saved / "model.json").read_text()) == {
        "architecture": {
            "kind": "reblur_deblur_net",
            "width": 2,
            "depth": 2,
            "version": 2,
            "hidden": 5,
            "native": False,
            "contrast": False,
        },
        "provenance": {"run": "a test", "steps": 3},
        "licence": "Apache-2.0 ©",
        "window": None,
        "orientations": 1,
    }


def test_the_longest_allowed_name_works(tmp_path, saved, network):
    path = tmp_path / ("m" * 255)
    for _ in range(2):
        models.save(path, network, DESCRIPTION)
    assert_same_arrays(arrays_of(models.load(path).network), arrays_of(network))
    assert list(tmp_path.iterdir()) == [path]


def test_loaded_weights_are_on_the_device(tmp_path, saved, network):
    """With host arrays, every call would make a copy."""
    models.save(tmp_path / "compact", network, models.read_description(saved), as_bfloat16=True)
    for path in (saved, tmp_path / "compact"):
        arrays = jax.tree.leaves(nnx.state(models.load(path).network))
        assert all(isinstance(x, jax.Array) for x in arrays)


def test_paths_that_orbax_cannot_write_are_refused(tmp_path, saved, network):
    """The existing model stays, and no unreadable one is written."""
    good = tmp_path / "[weights]" / "model"
    shutil.copytree(saved, good)
    for place in (good, tmp_path / "back\\slash"):
        with pytest.raises(ValueError, match=r"so that arrays cannot be written there"):
            models.save(place, network, DESCRIPTION)
    assert sorted(path.name for path in good.iterdir()) == ["arrays", "model.json"]
    assert not list(tmp_path.glob("back*"))


def test_compact_weights_are_rounded_to_bfloat16(tmp_path, saved, network):
    path = tmp_path / "run" / "model"
    models.save(path, network, DESCRIPTION, as_bfloat16=True)
    assert sorted(p.name for p in path.iterdir()) == ["arrays.npz", "model.json"]
    size = lambda folder: sum(p.stat().st_size for p in folder.rglob("*"))  # noqa: E731
    assert size(path) < 0.5 * size(saved)
    # The path of the run directory is enough.
    compact = models.load(tmp_path / "run")
    assert compact.description == DESCRIPTION
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), arrays_of(network))
    assert_same_arrays(arrays_of(compact.network), rounded)


@pytest.mark.parametrize("harm", ["cut", "other"])
def test_damaged_compact_weights_are_refused(tmp_path, network, harm):
    path = tmp_path / "model"
    models.save(path, network, DESCRIPTION, as_bfloat16=True)
    file = path / "arrays.npz"
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    else:
        text = (path / "model.json").read_text()
        (path / "model.json").write_text(text.replace('"hidden": 5', '"hidden": 6'))
    with pytest.raises(ValueError, match=f"the arrays of {path} cannot be read"):
        models.load(path)


def test_saving_replaces_the_older_model(copy):
    small = Echo()
    models.save(copy, small, dataclasses.replace(DESCRIPTION, licence="other"))
    assert models.read_description(copy).licence == "other"
    arrays = directory.load_arrays(
        copy / "arrays", {"scale": jax.ShapeDtypeStruct((), jnp.float32)}
    )
    assert arrays == {"scale": 2.0}
    assert [p.name for p in copy.parent.iterdir()] == ["model"]


def test_a_failed_save_keeps_the_older_model_and_leaves_nothing_else(copy, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    monkeypatch.setattr(directory, "save_arrays", fail)
    with pytest.raises(OSError, match="No space left"):
        models.save(copy, Echo(), DESCRIPTION)
    assert {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before
    assert [p.name for p in copy.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["gone", "empty", "file"])
def test_paths_without_a_model_are_refused_by_name(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=rf"{tmp_path / name} is not a model directory"):
        models.load(tmp_path / name)


def edit(path, **sizes):
    """Change the architecture in `model.json`."""
    fields = json.loads((path / "model.json").read_text())
    fields["architecture"] |= sizes
    (path / "model.json").write_text(json.dumps(fields))


@pytest.mark.parametrize(
    "text", ["", '{"architecture": {"kind', "5", "[]", '{"architecture": {"kind": "msdi_net"}}']
)
def test_damaged_description_is_refused_by_name(copy, text):
    (copy / "model.json").write_text(text)
    with pytest.raises(ValueError, match=rf"{copy}/model\.json is damaged"):
        models.load(copy)


def test_unknown_field_is_refused_by_name(copy):
    edit(copy, height=5)
    with pytest.raises(ValueError, match=rf"{copy}/model\.json is damaged.*'height'"):
        models.load(copy)


def test_unknown_network_is_refused_by_name(copy):
    edit(copy, kind="msdi3_net")
    with pytest.raises(ValueError, match=rf"{copy}/model\.json .*'msdi3_net' is unknown: choose"):
        models.load(copy)


def truncate(path):
    for file in (path / "arrays").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: shutil.rmtree(path / "arrays"),
        truncate,
        lambda path: edit(path, width=4),
        lambda path: models.save(path, Echo(), DESCRIPTION),
    ],
    ids=["missing", "truncated", "other width", "other network"],
)
def test_arrays_that_do_not_fit_are_refused_by_name(copy, damage):
    damage(copy)
    with pytest.raises(ValueError, match=rf"arrays of {copy} cannot be read"):
        models.load(copy)
