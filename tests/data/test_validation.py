import numpy as np
import pytest

from msdi_jax.configs import quickstart
from msdi_jax.data import pipeline, records, validation
from msdi_jax.data.photographs import find
from msdi_jax.data.readable import SkipDamaged
from msdi_jax.training import loop, run
from tests.data import miniatures

PREPARED = {
    "gopro": lambda source: {"source": miniatures.gopro(source, 520, 700), "accept_part": True},
    "realblur_j": lambda source: {"source": miniatures.realblur(source), "accept_part": True},
    "hide": lambda source: {"source": miniatures.hide(source), "accept_part": True, "raw": True},
    "pairs": lambda source: {"source": miniatures.pairs(source), "tile": 64},
    "camera_shake": lambda source: {
        "photographs": str(_photographs(source)),
        "train_pairs": 2,
        "test_pairs": 1,
        "longest_side": 256,
    },
}


def _photographs(folder):
    """Four to train on and one to test on."""
    for part, count in (("train", 4), ("test", 1)):
        for index in range(count):
            name = f"{part}{index}.png"
            pixels = miniatures.picture(len(part) + index, 300, 340)
            miniatures.save(folder / part / name, pixels)
    return folder


@pytest.fixture
def config(tmp_path):
    config = quickstart.get_config()
    fields = PREPARED["camera_shake"](tmp_path / "photographs")
    config.dataset.update(fields | {"directory": str(tmp_path)})
    return config


@pytest.mark.parametrize("name", PREPARED)
def test_a_set_tells_what_its_records_are_of(tmp_path, name):
    builder = records.find_builder(name)
    directory = builder.prepare(tmp_path, **PREPARED[name](tmp_path / "source"))
    source = builder.open_split(directory, "train")
    told = records.photographs(directory)
    assert told == [record["photograph"].decode() for record in source]
    assert len(set(told)) > 1


def test_an_older_set_is_refused(tmp_path):
    builder = records.find_builder("pairs")
    directory = builder.prepare(tmp_path, **PREPARED["pairs"](tmp_path / "source"))
    (directory / "metadata.json").unlink()
    with pytest.raises(ValueError, match=r"does not tell which photographs .* prepare it again"):
        records.photographs(directory)


def test_a_photograph_is_on_one_side_with_all_its_records():
    names = ["a", "a", "b", "c", "c", "c", "b", "d"]
    source = [{"photograph": name, "number": i} for i, name in enumerate(names)]
    trained_on, aside = validation.divide(source, names, 2)
    assert len({record["photograph"] for record in aside}) == 2
    assert not {r["photograph"] for r in aside} & {r["photograph"] for r in trained_on}
    assert sorted([*trained_on, *aside], key=lambda record: record["number"]) == source
    assert [r["number"] for r in trained_on] == sorted(r["number"] for r in trained_on)


def test_another_photograph_displaces_one_at_most():
    names = [f"{index}" for index in range(20)]
    before = validation.held_back(names, 5)
    assert len(before) == 5
    for other in ("x", "y", "z"):
        assert len(before - validation.held_back([*names, other], 5)) <= 1


def test_something_is_left_to_train_on():
    assert len(validation.held_back("aabc", 2)) == 2
    with pytest.raises(ValueError, match=r"val=3 .* is of 3 photographs"):
        validation.held_back("aabc", 3)


def test_val_crops_are_of_photographs_not_trained_on(config):
    """Nor of those that are tested on; without the field, of these."""
    test = run._open_data(config)
    assert test.val is test.test
    config.val = 2
    data = run._open_data(config)
    sides = [
        {record["photograph"].decode() for record in part}
        for part in (data.train, data.val, data.test)
    ]
    assert [len(side) for side in sides] == [2, 2, 1]
    assert len(set.union(*sides)) == 5
    assert (len(data.train), len(data.val)) == (4, 4)
    crops = pipeline.centre_crops(data.val, 64, 4)["sharp"]
    for crop, record in zip(crops, data.val, strict=True):
        top, left = ((side - 64) // 2 for side in record["sharp"].shape[:2])
        np.testing.assert_array_equal(crop, record["sharp"][top:, left:][:64, :64])


def test_twins_are_not_of_them_either(config):
    config.val = 3
    aside = validation.held_back((p.name for p in find(config.dataset.photographs).train), 3)
    made = loop._twins(config, 32, pipeline.UNCHANGED)
    assert len(made.photographs) == 1
    assert made.photographs[0].name not in aside


def test_records_stay_undecoded_where_asked(config):
    config.val = 1
    data = run._open_data(config)
    for part in (SkipDamaged(data.train), data.val):
        assert isinstance(part.undecoded()[0]["sharp"], bytes)
        assert part[0]["sharp"].dtype == np.uint8
