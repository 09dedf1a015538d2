import json

import numpy as np
import pytest
from PIL import Image

from msdi_jax.data import photographs
from msdi_jax.data.camera_shake.camera_shake_dataset_builder import (
    Settings,
    frame_size,
    open_split,
    plan_pairs,
    prepare,
    rebuild_shake,
)
from msdi_jax.data.synthesis.render import render
from msdi_jax.evaluation import test_sets

SMALL = {"train_pairs": 2, "test_pairs": 1, "longest_side": 256}


def psnr(record):
    error = np.mean((record["blurry"].astype(float) - record["sharp"]) ** 2)
    return 10 * np.log10(255**2 / error)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    root = tmp_path_factory.mktemp("embedded")
    return root, prepare(root, train_pairs=3, test_pairs=3)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for index, photo in enumerate(photographs.embedded().train[:2]):
        Image.fromarray(photo.read()[:300, :340]).save(folder / f"{index}.png")
    return folder


def test_records(embedded):
    split = photographs.embedded()
    for part, sources in (("train", split.train), ("test", split.test)):
        records = open_split(embedded[1], part)
        assert len(records) == 3 * len(sources)
        assert {record["photograph"].decode() for record in records} == {p.name for p in sources}
        for record in records:
            assert record["blurry"].dtype == np.uint8
            assert record["blurry"].shape == record["sharp"].shape
            assert min(record["sharp"].shape[:2]) >= 256


def test_the_pairs_are_as_hard_as_those_of_real_sets(embedded):
    values = [
        psnr(record) for part in ("train", "test") for record in open_split(embedded[1], part)
    ]
    assert 20 < np.median(values) < 32


def test_a_record_can_be_rebuilt_from_its_seed(embedded):
    photos = {photo.name: photo.read() for photo in photographs.embedded().train}
    for record in list(open_split(embedded[1], "train"))[::4]:
        shake = rebuild_shake(record)
        layers = [photos[name] for name in json.loads(record["parameters"])["layers"]]
        blurry, sharp = render(photos[record["photograph"].decode()], shake, layers)
        np.testing.assert_array_equal(blurry, record["blurry"])
        np.testing.assert_array_equal(sharp, record["sharp"])


def test_a_finished_set_is_reused_and_other_settings_make_another(tmp_path, folder):
    first = prepare(tmp_path, folder, **SMALL)
    stamp = (first / "dataset_info.json").stat().st_mtime_ns
    assert prepare(tmp_path, folder, **SMALL) == first
    assert (first / "dataset_info.json").stat().st_mtime_ns == stamp
    assert prepare(tmp_path, folder, **SMALL, seed=1) != first
    moved = folder.rename(folder.with_name("moved"))
    assert prepare(tmp_path, moved, **SMALL) == first
    Image.new("RGB", (400, 400)).save(moved / "third.png")
    assert prepare(tmp_path, moved, **SMALL) != first


def test_an_interrupted_set_is_not_taken_for_a_finished_one(tmp_path, folder, monkeypatch):
    module = "msdi_jax.data.camera_shake.camera_shake_dataset_builder"
    with monkeypatch.context() as patch:

        def fail(*_):
            raise KeyboardInterrupt

        patch.setattr(f"{module}.encode_png", fail)
        with pytest.raises(KeyboardInterrupt):
            prepare(tmp_path, folder, **SMALL)
    assert not list(tmp_path.rglob("dataset_info.json"))
    assert len(open_split(prepare(tmp_path, folder, **SMALL), "train")) == 2


def test_both_domains_alternate(tmp_path, folder):
    records = open_split(prepare(tmp_path, folder, **SMALL, domain="both"), "train")
    assert [rebuild_shake(record).domain for record in records] == ["linear", "gamma"]


@pytest.mark.parametrize("anchor", ["mean", "middle"])
def test_records_have_the_anchor_of_the_settings(tmp_path, folder, anchor):
    record = open_split(prepare(tmp_path, folder, **SMALL, anchor=anchor), "train")[0]
    camera = rebuild_shake(record).camera
    origin = camera.mean(axis=0) if anchor == "mean" else camera[len(camera) // 2]
    other = camera[len(camera) // 2] if anchor == "mean" else camera.mean(axis=0)
    np.testing.assert_allclose(origin, 0, atol=1e-12)
    assert np.abs(other).max() > 1e-6


def test_seeds_do_not_depend_on_the_other_photographs():
    split = photographs.embedded()
    few, all_of_them = (
        plan_pairs(split.train[1:], "train", Settings()),
        plan_pairs(split.train, "train", Settings()),
    )
    assert {(p.name, p.seed) for p in few} < {(p.name, p.seed) for p in all_of_them}
    assert len({pair.seed for pair in all_of_them}) == len(all_of_them)


def test_frame_sizes():
    assert frame_size(512, 512, 384) == (384, 384)
    assert frame_size(300, 451, 384) == (256, 384)
    assert frame_size(2160, 3840, 1280) == (720, 1280)


def test_unusable_settings_are_refused(tmp_path, folder):
    with pytest.raises(
        ValueError, match=r"dataset\.domain='srgb' is unknown: choose one of .*both"
    ):
        prepare(tmp_path, domain="srgb")
    with pytest.raises(ValueError, match=r"dataset\.anchor='end' is unknown: .* mean, middle"):
        prepare(tmp_path, anchor="end")
    with pytest.raises(ValueError, match=r"dataset\.train_pairs=0 must be at least 1"):
        prepare(tmp_path, train_pairs=0)
    with pytest.raises(ValueError, match=r"dataset\.test_pairs=0 must be at least 1"):
        prepare(tmp_path, test_pairs=0)
    with pytest.raises(ValueError, match=r"dataset\.longest_side=128 must be at least 256"):
        prepare(tmp_path, longest_side=128)
    with pytest.raises(ValueError, match=r"dataset\.seed=-1 must be at least 0"):
        prepare(tmp_path, seed=-1)
    with pytest.raises(ValueError, match=r"dataset\.strength=-1 must be above 0"):
        prepare(tmp_path, folder, strength=-1)
    assert not list(tmp_path.glob("camera_shake*"))
    Image.new("RGB", (300, 200)).save(folder / "tiny.png")
    with pytest.raises(ValueError, match=r"1 photographs have no room(.|\n)*tiny.png: 200×300"):
        prepare(tmp_path, folder, **SMALL)


def test_missing_sets_are_refused(tmp_path, embedded):
    with pytest.raises(ValueError, match="holds no data set: give the folder"):
        open_split(tmp_path, "train")
    with pytest.raises(ValueError, match="no split 'val': choose one of"):
        open_split(embedded[1], "val")
    with pytest.raises(ValueError, match="is a set camera_shake, not gopro"):
        test_sets.open_prepared("gopro", str(embedded[1]), "test")
