import numpy as np
import pytest

from msdi_jax.data.hide.hide_dataset_builder import open_split, prepare
from tests.data import miniatures
from tests.data.miniatures import picture, save


@pytest.fixture
def source(tmp_path):
    return miniatures.hide(tmp_path / "HIDE_dataset")


def records(directory, part):
    return {record["name"].decode(): record for record in open_split(directory, part)}


def test_records(source, tmp_path):
    directory = prepare(tmp_path / "new", source, accept_part=True)
    for part, indices in (("train", (0, 1, 2)), ("test", (3, 4))):
        stored = records(directory, part)
        assert stored.keys() == {f"{index}fromGOPR0950" for index in indices}
        for index in indices:
            record = stored[f"{index}fromGOPR0950"]
            np.testing.assert_array_equal(record["blurry"], picture(index))
            np.testing.assert_array_equal(record["sharp"], picture(100 + index))


def test_the_re_pack_gives_the_same_test_records(source, tmp_path):
    for index in (3, 4):
        save(tmp_path / "pack" / "test" / "input" / f"{index}fromGOPR0950.png", picture(index))
        save(
            tmp_path / "pack" / "test" / "target" / f"{index}fromGOPR0950.png", picture(100 + index)
        )
    one = prepare(tmp_path / "one", source, accept_part=True)
    two = prepare(tmp_path / "two", tmp_path / "pack", accept_part=True)
    for a, b in zip(open_split(one, "test"), open_split(two, "test"), strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_an_incomplete_set_is_refused(source, tmp_path):
    with pytest.raises(ValueError, match="is not the complete set hide") as error:
        prepare(tmp_path / "new", source)
    assert str(error.value).splitlines()[1:] == [
        "train: found 3 pairs, expected 6397; 1 folders: train (3)",
        "test: found 2 pairs, expected 2025; 2 folders: test/test-close-ups (1), "
        "test/test-long-shot (1)",
    ]
    assert not (tmp_path / "new").exists()


def test_a_blurry_image_without_its_sharp_one_is_named(source, tmp_path):
    (source / "GT" / "1fromGOPR0950.png").unlink()
    save(source / "GT" / "9fromGOPR0950.png", picture(9))
    with pytest.raises(ValueError, match="1 problems with the pairs") as error:
        prepare(tmp_path / "new", source, accept_part=True)
    assert f"{source}/GT/1fromGOPR0950.png: missing" in str(error.value)


def test_a_file_in_both_test_folders_is_named(source, tmp_path):
    save(source / "test" / "test-long-shot" / "3fromGOPR0950.png", picture(3))
    with pytest.raises(ValueError, match="3fromGOPR0950: 2 test pairs would have this name"):
        prepare(tmp_path / "new", source, accept_part=True)
