"""Train, val and test records of a run, and crops that do not fit into them."""

import contextlib

import numpy as np
import pytest

from msdi_jax.configs import quickstart
from msdi_jax.data import pipeline
from msdi_jax.data.readable import SkipDamaged
from msdi_jax.training.splits import Splits, check_sizes, open_splits
from tests.data import miniatures


@pytest.fixture
def config(tmp_path):
    """Configuration of a set of four training photographs and a test photograph."""
    config = quickstart.get_config()
    folder = miniatures.photographs(tmp_path / "photographs")
    config.dataset.update(
        {
            "directory": str(tmp_path),
            "photographs": str(folder),
            "train_pairs": 2,
            "test_pairs": 1,
            "longest_side": 256,
        }
    )
    return config


def photographs(part):
    return {record["photograph"].decode() for record in part}


@pytest.mark.parametrize(("val", "sides"), [(0, [4, 0, 1]), (1, [3, 1, 1]), (3, [1, 3, 1])])
def test_train_val_and_test_share_no_photograph(config, val, sides):
    config.val = val
    splits = open_splits(config)
    parts = [photographs(part) for part in (splits.train, splits.val, splits.test)]
    assert [len(part) for part in parts] == sides
    assert len(set.union(*parts)) == 5
    assert len(splits.train) + len(splits.val) == 8


def test_val_is_taken_from_the_training_split_by_default(config):
    splits = open_splits(config)
    assert config.val == 1
    assert all(name.startswith("train/") for name in photographs(splits.val))


def test_val_crops_are_the_middles_of_val_records(config):
    config.val = 2
    val = open_splits(config).val
    crops = pipeline.centre_crops(val, 64, 4)["sharp"]
    for crop, record in zip(crops, val, strict=True):
        top, left = ((side - 64) // 2 for side in record["sharp"].shape[:2])
        np.testing.assert_array_equal(crop, record["sharp"][top:, left:][:64, :64])


def test_too_few_photographs_are_refused_with_the_fix(config):
    config.val = 4
    with pytest.raises(ValueError, match=r"val=4 .* 4 photographs .*config\.val=0"):
        open_splits(config)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("gopro", lambda root: miniatures.gopro(root, 520, 700)),
        ("realblur_j", miniatures.realblur),
        ("realblur_r", lambda root: miniatures.realblur(root, "R")),
        ("hide", miniatures.hide),
        ("pairs", miniatures.pairs),
    ],
)
def test_every_set_of_pairs_gives_up_a_scene(config, tmp_path, name, make):
    fields = {} if name == "pairs" else {"accept_part": True}
    config.dataset = {
        "name": name,
        "directory": str(tmp_path),
        "source": str(make(tmp_path / "source")),
        **fields,
    }
    splits = open_splits(config)
    train, val, test = (photographs(p) for p in (splits.train, splits.val, splits.test))
    assert len(val) == 1
    assert train
    assert not val & train
    assert not val & test


def test_records_stay_undecoded_where_asked(config):
    splits = open_splits(config)
    for part in (SkipDamaged(splits.train), splits.val):
        assert isinstance(part.undecoded()[0]["sharp"], bytes)
        assert part[0]["sharp"].dtype == np.uint8


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("gopro", {"longest_side": 384}, r"dataset\.longest_side: gopro has no such field"),
        ("pairs", {"blur": "blur"}, r"dataset\.blur: pairs has no such field"),
        ("camera_shake", {"raw": True}, r"dataset\.raw: camera_shake has no such field"),
        ("camera_shake", {"strength": 0.0}, r"dataset\.strength=0 must be above 0"),
        ("gopro", {"blur": "linear"}, r"dataset\.blur='linear' is unknown: choose one of blur,"),
        ("pairs", {"tile": 32}, r"dataset\.tile=32: give at least 64 px, or 0"),
    ],
)
def test_bad_fields_are_refused_before_anything_is_prepared(
    config, tmp_path, name, fields, message
):
    config.dataset = {"name": name, "directory": str(tmp_path / "new"), **fields}
    with pytest.raises(ValueError, match=message):
        open_splits(config)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("tile", "refused"), [(128, False), (96, True)])
def test_training_images_smaller_than_a_later_crop_are_refused_at_once(tmp_path, tile, refused):
    """Training frames are cut into tiles, whose size counts."""
    config = quickstart.get_config()
    config.reblur.crop, config.deblur.crop = 64, 128
    pair, part = (
        {key: np.zeros((n, n, 3), np.uint8) for key in ("blurry", "sharp")} for n in (256, tile)
    )
    splits = Splits([part], [pair], [pair], "set")
    refusal = pytest.raises(ValueError, match="96×96 px, smaller than the crop of 128 px: lower")
    with refusal if refused else contextlib.nullcontext():
        check_sizes(config, tmp_path, splits)


def test_a_test_frame_too_small_to_score_is_named_before_training(config, tmp_path):
    source = miniatures.pairs(tmp_path / "source")
    for kind in ("blurry", "sharp"):
        for index in range(20):
            miniatures.save(source / kind / f"tiny{index}.png", miniatures.picture(1, 9, 40))
    config.dataset = {"name": "pairs", "directory": str(tmp_path), "source": str(source)}
    config.val, config.skip_damaged = 0, True
    splits = open_splits(config)
    tiny = [record["name"].decode() for record in splits.test if len(record["sharp"]) == 9]
    with pytest.raises(ValueError, match="per_channel needs images of at least 11×11") as error:
        check_sizes(config, tmp_path / "run", splits)
    assert str(error.value).splitlines()[1:] == [f"{name}: 9×40 px" for name in tiny]
    config.evaluation.protocols = ("gopro",)
    check_sizes(config, tmp_path / "run", splits)


def test_one_small_frame_among_tiles_is_refused_at_once(tmp_path):
    """It is stored whole, and need not be the first record."""
    config = quickstart.get_config()
    config.reblur.crop, config.deblur.crop = 64, 96
    pair = {key: np.zeros((128, 128, 3), np.uint8) for key in ("blurry", "sharp")}
    sizes = {"128×128": 2, "72×200": 1}
    data = Splits([pair], [pair], [pair], "set", sizes)
    with pytest.raises(ValueError, match=r"the 96 px .* \(1 of 72×200 px\): lower the crop"):
        check_sizes(config, tmp_path, data)
    config.deblur.crop = 72
    check_sizes(config, tmp_path, data)
