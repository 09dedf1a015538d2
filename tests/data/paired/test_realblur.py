import importlib
from pathlib import Path

import numpy as np
import pytest

from msdi_jax.data.paired.realblur import find_pairs
from msdi_jax.data.realblur_j.realblur_j_dataset_builder import open_split, prepare
from tests.data import miniatures
from tests.data.miniatures import REALBLUR, picture, save


@pytest.fixture
def source(tmp_path):
    return miniatures.realblur(tmp_path / "RealBlur")


def records(directory, part):
    return {record["name"].decode(): record for record in open_split(directory, part)}


@pytest.mark.parametrize("kind", ["J", "R"])
def test_records_are_the_listed_pairs(kind, tmp_path):
    name = f"realblur_{kind.lower()}"
    builder = importlib.import_module(f"msdi_jax.data.{name}.{name}_dataset_builder")
    directory = builder.prepare(
        tmp_path / "new", miniatures.realblur(tmp_path / "RealBlur", kind), accept_part=True
    )
    assert directory.parts[-3] == name
    expected = {
        "train": {"scene001-blur_1": 0, "scene001-blur_2": 1, "scene007-blur_1": 2},
        "test": {"scene002-blur_1": 3, "scene002-blur_3": 4},
    }
    for part, names in expected.items():
        stored = records(directory, part)
        assert stored.keys() == names.keys()
        for key, index in names.items():
            assert stored[key]["photograph"].decode() == key.partition("-")[0]
            np.testing.assert_array_equal(stored[key]["blurry"], picture(index))
            np.testing.assert_array_equal(stored[key]["sharp"], picture(100 + index))


def test_sizes_vary_and_large_frames_become_tiles(source, tmp_path):
    folder = source / REALBLUR["J"]
    for first, kind in ((0, "blur"), (100, "gt")):
        save(folder / "scene001" / kind / f"{kind}_1.png", picture(first, 773, 683))
        save(folder / "scene002" / kind / f"{kind}_1.png", picture(first + 3, 771, 679))
    directory = prepare(tmp_path / "new", source, accept_part=True)
    train = records(directory, "train")
    # By hand, for 773×683 px: a tile every 256 px, the last flush with the border.
    corners = [(top, left) for top in (0, 256, 261) for left in (0, 171)]
    for top, left in corners:
        window = picture(0, 773, 683)[top : top + 512, left : left + 512]
        np.testing.assert_array_equal(
            train[f"scene001-blur_1_{top:04d}_{left:04d}"]["blurry"], window
        )
    assert len(train) == len(corners) + 2
    assert records(directory, "test")["scene002-blur_1"]["sharp"].shape == (771, 679, 3)


def test_further_columns_and_empty_lines_are_ignored(source):
    before = find_pairs(source, "J")
    for file in source.glob("*_list.txt"):
        lines = file.read_text().splitlines()
        file.write_text("\n\n".join(f"{line} 0.25" for line in lines) + "\n")
    assert find_pairs(source, "J") == before
    assert all(isinstance(pair.blurry, Path) for pair in before["train"])


def test_unusable_lines_are_named(source):
    file = source / "RealBlur_J_test_list.txt"
    lines = file.read_text().splitlines()
    swapped = " ".join(reversed(lines[0].split()))
    file.write_text("\n".join([swapped, lines[1], "scene002/gt/gt_4.png"]))
    with pytest.raises(ValueError, match="2 problems with the lists") as error:
        find_pairs(source, "J")
    assert str(error.value).splitlines()[1:] == [
        f"{file}:1: not .../gt/FILE .../blur/FILE but {swapped!r}",
        f"{file}:3: not .../gt/FILE .../blur/FILE but 'scene002/gt/gt_4.png'",
    ]


def test_an_incomplete_set_is_refused(source, tmp_path):
    (source / "RealBlur_J_test_list.txt").unlink()
    with pytest.raises(ValueError, match="is not the complete set realblur_j") as error:
        prepare(tmp_path / "new", source)
    assert str(error.value).splitlines()[1:] == [
        f"train: found 3 pairs, expected 3758; 2 folders: {REALBLUR['J']}/scene001/blur (2), "
        f"{REALBLUR['J']}/scene007/blur (1)",
        "test: found 0 pairs, expected 980; 0 folders",
    ]
    other = tmp_path / "empty"
    other.mkdir()
    with pytest.raises(ValueError, match=r"holds no pairs: expected RealBlur_J_\{train,test\}_li"):
        prepare(tmp_path / "new", other)
    assert not (tmp_path / "new").exists()


def test_a_part_leaves_out_what_is_not_there_but_not_half_a_pair(source, tmp_path):
    folder = source / REALBLUR["J"]
    for path in folder.glob("scene001/*/*_2.png"):
        path.unlink()
    directory = prepare(tmp_path / "new", source, accept_part=True)
    assert records(directory, "train").keys() == {"scene001-blur_1", "scene007-blur_1"}
    (folder / "scene007" / "gt" / "gt_1.png").unlink()
    with pytest.raises(ValueError, match=r"gt_1.png: missing, the partner of .*blur_1.png"):
        prepare(tmp_path / "new", source, accept_part=True)
