import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax.__main__ import main
from msdi_jax.models import model
from msdi_jax.networks.degradation import Degradation
from msdi_jax.networks.functional import abstract, arrays_of
from msdi_jax.networks.reblur_deblur_net import JointOutput, ReblurDeblurNet

DESCRIPTION = model.Description("joint", 2, 5, {"run": "a test", "steps": 3}, "Apache-2.0 ©")


def filled(make, seed=0):
    """A network of normal weights: made abstractly, since drawing its own takes longer."""
    rng = np.random.default_rng(seed)
    graph, state = nnx.split(abstract(make))
    draw = lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32)  # noqa: E731
    return nnx.merge(graph, jax.tree.map(draw, nnx.to_pure_dict(state)))


@pytest.fixture(scope="module")
def network():
    return filled(lambda rngs: ReblurDeblurNet(2, hidden=5, rngs=rngs))


@pytest.fixture(scope="module")
def saved(tmp_path_factory, network):
    path = tmp_path_factory.mktemp("saved") / "deep" / "model"
    model.save(path, network, DESCRIPTION)
    return path


@pytest.fixture
def copy(tmp_path, saved):
    return shutil.copytree(saved, tmp_path / "model")


@pytest.fixture(scope="module")
def loaded(saved):
    return model.load(saved)


def assert_same_arrays(found, expected):
    found, expected = jax.tree.leaves_with_path(found), jax.tree.leaves_with_path(expected)
    assert [path for path, _ in found] == [path for path, _ in expected]
    for (path, a), (_, b) in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))


def test_an_image_is_not_a_batch(loaded):
    with pytest.raises(ValueError, match=r"shape \(32, 32, 3\) must be \(number, height"):
        loaded.degradation(np.zeros((32, 32, 3), np.float32))


def test_whole_numbers_are_no_images(loaded):
    image = np.zeros((1, 32, 32, 3), np.uint8)
    for call in (
        lambda: loaded(image, image),
        lambda: loaded.deblur(image),
        lambda: loaded.degradation(image),
        lambda: loaded.reblur(image, None),
    ):
        with pytest.raises(ValueError, match=r"uint8 are not in \[0, 1\]: .*to_unit"):
            call()


def test_no_image_is_refused(loaded):
    for shape in ((0, 32, 32, 3), (1, 0, 32, 3)):
        with pytest.raises(ValueError, match="expected images of shape"):
            loaded(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


@pytest.mark.parametrize("changes", [{"orientations": 3}, {"window": 5}])
def test_what_a_model_cannot_be_used_with_is_refused(loaded, changes):
    with pytest.raises(ValueError, match="".join(changes)):
        loaded.using(**changes)


def test_round_trip(saved, loaded, network):
    assert loaded.description == DESCRIPTION
    assert_same_arrays(arrays_of(loaded.network), arrays_of(network))
    assert sorted(p.name for p in saved.iterdir()) == ["arrays", "model.json"]
    assert [p.name for p in saved.parent.iterdir()] == ["model"]
    expected = dataclasses.asdict(DESCRIPTION) | {"injected": [0, 1, 2, 3]}
    assert json.loads((saved / "model.json").read_text()) == expected


def test_weights_lie_where_calls_take_them(tmp_path, saved, network):
    """Of host arrays every call would make a copy."""
    model.save(tmp_path / "compact", network, model.describe(saved), compactly=True)
    for path in (saved, tmp_path / "compact"):
        arrays = jax.tree.leaves(nnx.state(model.load(path).network))
        assert all(isinstance(x, jax.Array) for x in arrays)


def test_mean_of_weights(tmp_path, saved, network):
    other = filled(lambda rngs: ReblurDeblurNet(2, hidden=5, rngs=rngs), seed=1)
    model.save(tmp_path / "other", other, dataclasses.replace(DESCRIPTION, window=32))
    main(["average", str(saved), str(tmp_path / "other"), str(tmp_path / "mean")])
    found = model.load(tmp_path / "mean")
    halves = jax.tree.map(lambda a, b: (a + b) / 2, arrays_of(network), arrays_of(other))
    vectors = 0
    arrays = jax.tree.leaves_with_path(arrays_of(found.network))
    for (path, array), half in zip(arrays, jax.tree.leaves(halves), strict=True):
        if path[-1].key in ("u", "v"):
            half /= jnp.linalg.norm(half)
            vectors += 1
        np.testing.assert_allclose(array, half, rtol=1e-6, atol=1e-7, err_msg=str(path))
    assert vectors
    assert found.description.provenance == {"mean of": [DESCRIPTION.provenance] * 2}
    assert found.description.licence == DESCRIPTION.licence
    assert found.description.window is None


def test_where_orbax_cannot_write_a_model_stays(tmp_path, saved, network):
    """A mend of the path, not a model that nobody can read."""
    good = tmp_path / "[weights]" / "model"
    shutil.copytree(saved, good)
    for place in (good, tmp_path / "back\\slash"):
        with pytest.raises(ValueError, match=r"in its name, where arrays cannot be written"):
            model.save(place, network, DESCRIPTION)
    assert sorted(path.name for path in good.iterdir()) == ["arrays", "model.json"]
    assert not list(tmp_path.glob("back*"))


def test_no_mean_takes_the_place_of_a_model(tmp_path, saved):
    """Where the destination is forgotten, the last model is not it."""
    shutil.copytree(saved, tmp_path / "copy")
    with pytest.raises(SystemExit, match="copy exists: name a new directory at the end"):
        main(["average", str(saved), str(tmp_path / "copy")])
    with pytest.raises(SystemExit, match="model alone is itself: give two models"):
        main(["average", str(saved), str(tmp_path / "mean")])
    assert not (tmp_path / "mean").exists()
    assert model.load(tmp_path / "copy").description == model.describe(saved)


def test_other_forms_have_no_mean(loaded):
    wider = dataclasses.replace(DESCRIPTION, width=4, hidden=6, licence="another")
    other = model.Model(loaded.network, wider)
    with pytest.raises(ValueError, match=r"^models that differ in hidden, width have no mean$"):
        model.mean([loaded, loaded, other])


def test_compact_weights_are_rounded_ones(tmp_path, saved, network):
    path = tmp_path / "run" / "model"
    model.save(path, network, DESCRIPTION, compactly=True)
    assert sorted(p.name for p in path.iterdir()) == ["arrays.npz", "model.json"]
    size = lambda folder: sum(p.stat().st_size for p in folder.rglob("*"))  # noqa: E731
    assert size(path) < 0.5 * size(saved)
    # A run directory will do.
    found = model.load(tmp_path / "run")
    assert found.description == DESCRIPTION
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), arrays_of(network))
    assert_same_arrays(arrays_of(found.network), rounded)


@pytest.mark.parametrize("harm", ["cut", "other"])
def test_damaged_compact_weights_are_refused(tmp_path, network, harm):
    path = tmp_path / "model"
    model.save(path, network, DESCRIPTION, compactly=True)
    file = path / "arrays.npz"
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    else:
        text = (path / "model.json").read_text()
        (path / "model.json").write_text(text.replace('"hidden": 5', '"hidden": 6'))
    with pytest.raises(ValueError, match=f"the arrays of {path} cannot be read"):
        model.load(path)


def test_sizes_that_do_not_fit_are_refused(loaded):
    fits, other = (np.zeros((1, 32, width, 3), np.float32) for width in (32, 40))
    for call in (lambda: loaded(fits, other), lambda: loaded.deblur(other)):
        with pytest.raises(ValueError, match="multiples of 16, got 32×40"):
            call()


class Echo(nnx.Module):
    """Answers with what it was asked, and tells the order."""

    def __init__(self):
        self.scale = nnx.Param(jnp.asarray(2.0))

    def __call__(self, blurry, sharp):
        return JointOutput(self.scale[...] * blurry + sharp, sharp)

    def degradation(self, image):
        return Degradation(image.mean((1, 2), keepdims=True), (image,))


def test_a_joint_model_takes_blurry_and_sharp():
    joint = model.Model(Echo(), DESCRIPTION)
    assert joint.reblurs
    blurry, sharp = np.full((1, 16, 16, 3), 0.25), np.full((1, 16, 16, 3), 0.75)
    output = joint(blurry, sharp)
    np.testing.assert_array_equal(output.deblurred, 1.25 * np.ones_like(blurry))
    np.testing.assert_array_equal(output.reblurred, sharp)
    np.testing.assert_array_equal(joint.deblur(sharp), 2.25 * np.ones_like(blurry))
    np.testing.assert_array_equal(joint.degradation(blurry).representation.ravel(), [0.25] * 3)
    for images in ((), (blurry,), (blurry, sharp, sharp)):
        with pytest.raises(ValueError, match=r"joint model takes \(blurry, sharp\) images"):
            joint(*images)


@pytest.mark.parametrize("name", ["msdi_net", "msdi2_net"])
def test_a_deblurring_model_takes_one_image(name):
    deblurring = model.Model(Echo(), dataclasses.replace(DESCRIPTION, network=name))
    assert not deblurring.reblurs
    image = np.zeros((1, 16, 16, 3))
    for images in ((), (image, image)):
        with pytest.raises(ValueError, match=rf"{name} model takes \(blurry\) images"):
            deblurring(*images)


def test_description_builds_its_network(monkeypatch):
    for kind in ("MSDINet", "ReblurDeblurNet"):
        monkeypatch.setattr(model, kind, lambda *a, kind=kind, **k: (kind, a, k))
    rngs = nnx.Rngs(0)
    common = {"hidden": 5, "native": True, "contrast": True, "rngs": rngs}
    form = {"injected": (1, 3), "depth": 3, "patch": 2, "degradation_width": 4}
    modulated = {**form, **common}
    changed = {**form, "injected": [1, 3], "native": True, "contrast": True}
    description = dataclasses.replace(DESCRIPTION, **changed)
    for name, expected in (
        ("msdi_net", ("MSDINet", (2,), {"version": 1, **modulated})),
        ("msdi2_net", ("MSDINet", (2,), {"version": 2, **modulated})),
        ("joint", ("ReblurDeblurNet", (2,), common)),
    ):
        assert dataclasses.replace(description, network=name).build(rngs) == expected


def test_saving_replaces_the_older_model(copy):
    small = Echo()
    model.save(copy, small, dataclasses.replace(DESCRIPTION, licence="other"))
    assert model.describe(copy).licence == "other"
    found = model.load_arrays(copy / "arrays", {"scale": jax.ShapeDtypeStruct((), jnp.float32)})
    assert found == {"scale": 2.0}
    assert [p.name for p in copy.parent.iterdir()] == ["model"]


def test_failed_save_leaves_the_older_model_and_nothing_else(copy, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    monkeypatch.setattr(model, "save_arrays", fail)
    with pytest.raises(OSError, match="No space left"):
        model.save(copy, Echo(), DESCRIPTION)
    assert {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before
    assert [p.name for p in copy.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["gone", "empty", "file"])
def test_what_is_no_model_directory_is_refused_by_name(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=rf"{tmp_path / name} is not a model directory"):
        model.load(tmp_path / name)


def edit(path, **fields):
    text = json.loads((path / "model.json").read_text())
    (path / "model.json").write_text(json.dumps(text | fields))


@pytest.mark.parametrize("text", ["", '{"network": "msdi', "5", "[]", '{"network": "joint"}'])
def test_damaged_description_is_refused_by_name(copy, text):
    (copy / "model.json").write_text(text)
    with pytest.raises(ValueError, match=rf"{copy}/model\.json is damaged"):
        model.load(copy)


def test_unknown_field_is_refused_by_name(copy):
    edit(copy, height=5)
    with pytest.raises(ValueError, match=rf"{copy}/model\.json is damaged.*'height'"):
        model.load(copy)


def test_unknown_network_is_refused_by_name(copy):
    edit(copy, network="msdi3_net")
    with pytest.raises(ValueError, match=rf"{copy}/model\.json: network 'msdi3_net' is none of"):
        model.load(copy)


def truncate(path):
    for file in (path / "arrays").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: shutil.rmtree(path / "arrays"),
        truncate,
        lambda path: edit(path, width=4),
        lambda path: model.save(path, Echo(), DESCRIPTION),
    ],
    ids=["missing", "truncated", "other width", "other network"],
)
def test_arrays_that_do_not_fit_are_refused_by_name(copy, damage):
    damage(copy)
    with pytest.raises(ValueError, match=rf"arrays of {copy} cannot be read"):
        model.load(copy)
