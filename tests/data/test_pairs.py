import numpy as np
import pytest
from PIL import Image

from msdi_jax.data.paired import builder
from msdi_jax.data.pairs.pairs_dataset_builder import from_folders, from_table, open_split, prepare
from tests.data.miniatures import picture, save


@pytest.fixture
def folders(tmp_path):
    """Eight pairs in `blurry` and `sharp`; image i has seeds i and 100 + i."""
    for index in range(8):
        save(tmp_path / "blurry" / f"{index}.png", picture(index))
        save(tmp_path / "sharp" / f"{index}.png", picture(100 + index))
    return {"blurry": tmp_path / "blurry", "sharp": tmp_path / "sharp"}


@pytest.fixture
def table(folders, tmp_path):
    """A function that writes `pairs.csv` next to the folders."""

    def write(*lines):
        path = tmp_path / "pairs.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
        return path

    return write


def names(split):
    return {part: {pair.name for pair in pairs} for part, pairs in split.items()}


@pytest.mark.parametrize("raw", [False, True])
def test_folders_with_tiles(folders, tmp_path, raw):
    directory = prepare(tmp_path, **folders, tile=64, raw=raw)
    split = from_folders(**folders)
    assert split["train"]
    assert split["test"]
    tiles = {record["name"].decode(): record for record in open_split(directory, "train")}
    # By hand, for 96×112 px: a tile every 32 px, the last flush with the border.
    corners = [(top, left) for top in (0, 32) for left in (0, 32, 48)]
    assert len(tiles) == len(corners) * len(split["train"])
    for pair in split["train"]:
        seed = int(pair.name.removesuffix(".png"))
        for top, left in corners:
            tile = tiles[f"{pair.name}_{top:04d}_{left:04d}"]
            window = np.s_[top : top + 64, left : left + 64]
            np.testing.assert_array_equal(tile["blurry"], picture(seed)[window])
            np.testing.assert_array_equal(tile["sharp"], picture(100 + seed)[window])
            assert tile["photograph"].decode() == pair.name
    whole = {record["name"].decode(): record for record in open_split(directory, "test")}
    assert whole.keys() == {pair.name for pair in split["test"]}
    for name, record in whole.items():
        np.testing.assert_array_equal(record["blurry"], picture(int(name.removesuffix(".png"))))


def test_raw_and_png_sets_lie_side_by_side(folders, tmp_path):
    directories = {raw: prepare(tmp_path, **folders, tile=64, raw=raw) for raw in (False, True)}
    assert directories[True] != directories[False]
    for raw, directory in directories.items():
        assert prepare(tmp_path, tile=64, raw=raw) == directory


def test_small_images_and_tile_0_stay_whole(folders, tmp_path):
    for tile in (0, 512):
        directory = prepare(tmp_path, **folders, tile=tile)
        records = open_split(directory, "train")
        assert len(records) == len(from_folders(**folders)["train"])
        assert all(record["sharp"].shape == (96, 112, 3) for record in records)
    # One side is too short for a tile.
    assert builder.corners(400, 2000, 512) is None
    assert builder.corners(512, 512, 512) == [(0, 0)]
    # The figure of the published sets: 8 tiles of each 1280×720 frame.
    assert len(builder.corners(720, 1280, 512)) == 8


def test_the_split_is_by_hash_and_never_empty(folders):
    split = names(from_folders(**folders))
    assert split["train"] | split["test"] == {f"{index}.png" for index in range(8)}
    assert not split["train"] & split["test"]
    # A further pair moves none of the others.
    for key, folder in folders.items():
        save(folder / "further.png", picture(len(key)))
    more = names(from_folders(**folders))
    assert split["test"] <= more["test"]
    assert split["train"] <= more["train"]
    for folder in folders.values():
        for path in sorted(folder.iterdir())[2:]:
            path.unlink()
    few = names(from_folders(**folders))
    assert len(few["train"]) == len(few["test"]) == 1


def test_a_subfolder_is_one_scene(tmp_path):
    for scene in range(6):
        for index in range(3):
            for kind in ("blurry", "sharp"):
                save(tmp_path / kind / f"scene{scene}" / f"{index}.png", picture(index))
    split = from_folders(tmp_path / "blurry", tmp_path / "sharp")
    # Results are written to files with these names.
    assert {name for part in names(split).values() for name in part} == {
        f"scene{scene}-{index}.png" for scene in range(6) for index in range(3)
    }
    scenes = {part: {pair.photograph for pair in pairs} for part, pairs in split.items()}
    assert not scenes["train"] & scenes["test"]
    assert scenes["train"] | scenes["test"] == {f"scene{scene}" for scene in range(6)}


def test_tables(table, tmp_path):
    path = table(
        "split,blurry,sharp",
        *(f"{'test' if index % 2 else 'train'},blurry/{index}.png,sharp/{7 - index}.png"
          for index in range(8)),
    )  # fmt: skip
    split = names(from_table(path))
    assert split["test"] == {f"blurry-{index}.png" for index in (1, 3, 5, 7)}
    directory = prepare(tmp_path / "new", path)
    for part, offset in (("train", 0), ("test", 1)):
        records = open_split(directory, part)
        assert len(records) == 4
        for index, record in enumerate(records):
            seed = 2 * index + offset
            np.testing.assert_array_equal(record["blurry"], picture(seed))
            np.testing.assert_array_equal(record["sharp"], picture(100 + 7 - seed))


def test_a_table_without_splits_keeps_a_sharp_file_on_one_side(table):
    rows = (f"blurry/{index}.png,sharp/{index // 2}.png" for index in range(8))
    split = from_table(table("blurry,sharp", *rows))
    sides = [{pair.sharp for pair in split[part]} for part in ("train", "test")]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert sum(map(len, split.values())) == 8


def test_jpegs_are_turned_upright(tmp_path):
    for kind in ("blurry", "sharp"):
        for name in "ab":
            photo = Image.fromarray(picture(1))
            exif = photo.getexif()
            exif[0x0112] = 6  # the camera was held upright
            (tmp_path / kind).mkdir(exist_ok=True)
            photo.save(tmp_path / kind / f"{name}.jpg", exif=exif)
    directory = prepare(tmp_path, blurry=tmp_path / "blurry", sharp=tmp_path / "sharp")
    assert open_split(directory, "test")[0]["sharp"].shape == (112, 96, 3)


def test_a_finished_set_is_reused_and_other_settings_make_another(folders, tmp_path):
    first = prepare(tmp_path, **folders)
    stamp = (first / "dataset_info.json").stat().st_mtime_ns
    assert prepare(tmp_path, **folders) == first
    assert (first / "dataset_info.json").stat().st_mtime_ns == stamp
    assert prepare(tmp_path, **folders, tile=64) != first
    swapped = {"blurry": folders["sharp"], "sharp": folders["blurry"]}
    assert prepare(tmp_path, **swapped) != first


def test_large_sets_take_several_shards(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "_PIXELS_PER_SHARD", 2 * 96 * 112)
    directory = prepare(tmp_path, **folders, tile=0)
    count = len(from_folders(**folders)["train"])
    assert len(list(directory.glob("pairs-train.array_record*"))) == -(-count // 2)
    stored = [record["name"].decode() for record in open_split(directory, "train")]
    assert stored == [pair.name for pair in from_folders(**folders)["train"]]


def test_bad_pairs_are_named(folders, tmp_path):
    (folders["blurry"] / "0.png").unlink()
    (folders["sharp"] / "1.png").write_text("no image")
    save(folders["sharp"] / "2.png", picture(2, 96, 113))
    save(folders["blurry"] / "3.png", np.dstack([picture(3), picture(3)[..., 0]]))
    with pytest.raises(ValueError, match="4 problems with the pairs") as error:
        prepare(tmp_path / "new", **folders)
    message = str(error.value)
    assert f"{folders['blurry']}/0.png: missing, the partner of {folders['sharp']}/0.png" in message
    assert f"{folders['sharp']}/1.png: " in message
    assert (
        f"{folders['blurry']}/2.png: 96×112 px, but {folders['sharp']}/2.png: 96×113 px" in message
    )
    assert f"{folders['blurry']}/3.png: mode RGBA, but 8-bit RGB is needed" in message
    assert not (tmp_path / "new").exists()


def test_bad_rows_are_named(table, tmp_path):
    path = table(
        "blurry,sharp,split",
        "blurry/0.png,sharp/0.png,train",
        "blurry/0.png,sharp/1.png,test",
        ",sharp/2.png,test",
        "blurry/3.png,sharp/3.png,validation",
        "blurry/4.png,sharp/4.png",
    )
    with pytest.raises(ValueError, match="4 problems with the rows") as error:
        from_table(path)
    assert str(error.value).splitlines()[1:] == [
        f"{path}:3: blurry/0.png is in line 2 already",
        f"{path}:4: no blurry file",
        f"{path}:5: split 'validation' is not train or test",
        f"{path}:6: split None is not train or test",
    ]
    path = table("blurry,sharp", "blurry/0.png,sharp/0.png", "blurry/1.png,sharp/none.png")
    with pytest.raises(ValueError, match=r"sharp/none.png: missing, the partner of .*blurry/1.png"):
        prepare(tmp_path / "new", path)


def test_unusable_sources_are_refused(folders, table, tmp_path):
    with pytest.raises(ValueError, match="give either a source or both folders"):
        prepare(tmp_path, blurry=folders["blurry"])
    with pytest.raises(ValueError, match="give either a source or both folders"):
        prepare(tmp_path, table("blurry,sharp"), **folders)
    with pytest.raises(ValueError, match=r"dataset\.tile=32: give at least 64 px, or 0"):
        prepare(tmp_path, **folders, tile=32)
    with pytest.raises(ValueError, match="missing is not a folder"):
        prepare(tmp_path, blurry=folders["blurry"], sharp=tmp_path / "missing")
    with pytest.raises(ValueError, match=f"{folders['sharp']} is given for blurry and for sharp"):
        prepare(tmp_path, blurry=folders["sharp"], sharp=folders["sharp"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "void").mkdir()
    with pytest.raises(ValueError, match=r"0 pairs of 0 scenes in .*empty and .*void"):
        prepare(tmp_path, blurry=tmp_path / "empty", sharp=tmp_path / "void")
    with pytest.raises(ValueError, match=r"missing.csv is not a file"):
        from_table(tmp_path / "missing.csv")
    (tmp_path / "wide.csv").write_text("blurry,sharp\na,b\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"wide.csv is not UTF-8"):
        from_table(tmp_path / "wide.csv")
    with pytest.raises(ValueError, match=r"pairs.csv has the columns input, target: blurry and"):
        from_table(table("input,target", "blurry/0.png,sharp/0.png"))
    with pytest.raises(ValueError, match=r"pairs.csv has no rows below its heading"):
        from_table(table("blurry,sharp"))
    rows = [f"blurry/{i}.png,sharp/0.png,{part}" for i, part in enumerate(("train", "test"))]
    with pytest.raises(ValueError, match=r"1 sharp files are in train and in test.*\n.*sharp/0"):
        from_table(table("blurry,sharp,split", *rows))
    with pytest.raises(ValueError, match=r"pairs.csv has no rows with split test"):
        from_table(table("blurry,sharp,split", "blurry/0.png,sharp/0.png,train"))


@pytest.mark.parametrize("folders", [("all", "all"), ("blurry", "sharp")])
def test_name_templates(tmp_path, folders):
    blurry, sharp = (tmp_path / folder for folder in folders)
    for index in range(4):
        save(blurry / f"{index}_blur.png", picture(index))
        save(sharp / f"s{index}.png", picture(100 + index))
    templates = {"blurry_template": "{}_blur", "sharp_template": "s{}"}
    directory = prepare(tmp_path / "set", blurry=blurry, sharp=sharp, tile=0, **templates)
    records = [r for part in ("train", "test") for r in open_split(directory, part)]
    assert sorted(record["name"].decode() for record in records) == ["0", "1", "2", "3"]
    for record in records:
        index = int(record["name"])
        np.testing.assert_array_equal(record["blurry"], picture(index))
        np.testing.assert_array_equal(record["sharp"], picture(100 + index))
    (sharp / "s3.png").unlink()
    with pytest.raises(ValueError, match=r"s3\.png: missing, the partner of .*3_blur\.png"):
        prepare(tmp_path / "new", blurry=blurry, sharp=sharp, **templates)
    save(sharp / "other_sharp.png", picture(0))
    with pytest.raises(ValueError, match=r"other_sharp\.png does not fit .*s\{\}"):
        prepare(tmp_path / "new", blurry=blurry, sharp=sharp, **templates)


def test_names_that_differ_by_case_are_two_pairs(tmp_path):
    (tmp_path / "probe").touch()
    if (tmp_path / "PROBE").exists():
        pytest.skip("this disk ignores case")
    for folder in ("blurry", "sharp"):
        for name in ("a", "A", "b"):
            save(tmp_path / folder / f"{name}.png", picture(ord(name)))
    split = names(from_folders(tmp_path / "blurry", tmp_path / "sharp"))
    assert split["train"] | split["test"] == {"a.png", "A.png", "b.png"}


def test_templates_of_a_table_are_refused(table, tmp_path):
    with pytest.raises(
        ValueError, match=r"pairs\.csv is a table, .*: leave out the name templates"
    ):
        prepare(tmp_path, table("blurry,sharp"), blurry_template="{}_blur")


def test_a_table_may_name_files_in_the_home_folder(folders, table, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    lines = (f"~/blurry/{index}.png,~/sharp/{index}.png" for index in range(4))
    split = from_table(table("blurry,sharp", *lines))
    files = {pair.blurry for pairs in split.values() for pair in pairs}
    assert files == {folders["blurry"] / f"{index}.png" for index in range(4)}
