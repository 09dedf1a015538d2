"""Val photographs of a training split."""

import pytest

from msdi_jax.data import records, validation
from tests.data import miniatures

PREPARED = {
    "gopro": lambda source: {"source": miniatures.gopro(source, 520, 700), "accept_part": True},
    "realblur_j": lambda source: {"source": miniatures.realblur(source), "accept_part": True},
    "hide": lambda source: {"source": miniatures.hide(source), "accept_part": True, "raw": True},
    "pairs": lambda source: {"source": miniatures.pairs(source), "tile": 64},
    "camera_shake": lambda source: {
        "photographs": str(miniatures.photographs(source)),
        "train_pairs": 2,
        "test_pairs": 1,
        "longest_side": 256,
    },
}


@pytest.mark.parametrize("name", PREPARED)
def test_a_set_records_the_photographs_of_its_training_records(tmp_path, name):
    builder = records.find_builder(name)
    directory = builder.prepare(tmp_path, **PREPARED[name](tmp_path / "source"))
    source = builder.open_split(directory, "train")
    photographs = records.training_photographs(directory)
    assert photographs == [record["photograph"].decode() for record in source]
    assert len(set(photographs)) > 1


def test_a_set_without_that_record_is_damaged(tmp_path):
    builder = records.find_builder("pairs")
    directory = builder.prepare(tmp_path, **PREPARED["pairs"](tmp_path / "source"))
    (directory / "metadata.json").unlink()
    with pytest.raises(ValueError, match=r"damaged \(its photographs .* prepare it again"):
        records.training_photographs(directory)


def test_all_records_of_a_photograph_are_on_one_side():
    names = ["a", "a", "b", "c", "c", "c", "b", "d"]
    source = [{"photograph": name, "number": i} for i, name in enumerate(names)]
    train, val = validation.split_off_val(source, names, 2)
    assert len({record["photograph"] for record in val}) == 2
    assert not {r["photograph"] for r in val} & {r["photograph"] for r in train}
    assert sorted([*train, *val], key=lambda record: record["number"]) == source
    assert [r["number"] for r in train] == sorted(r["number"] for r in train)


def test_without_val_photographs_all_records_are_trained_on():
    source = [{"number": i} for i in range(3)]
    train, val = validation.split_off_val(source, "aab", 0)
    assert list(train) == source
    assert list(val) == []


def test_an_added_photograph_replaces_at_most_one():
    names = [f"{index}" for index in range(20)]
    before = validation.val_photographs(names, 5)
    assert len(before) == 5
    for other in ("x", "y", "z"):
        assert len(before - validation.val_photographs([*names, other], 5)) <= 1


def test_something_is_left_to_train_on():
    assert len(validation.val_photographs("aabc", 2)) == 2
    with pytest.raises(ValueError, match=r"val=3 .* has 3 photographs .*config\.val=0"):
        validation.val_photographs("aabc", 3)
