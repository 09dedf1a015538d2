import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from msdi_jax.data.gopro.gopro_dataset_builder import find_pairs, open_split, prepare
from msdi_jax.data.paired.pairs import Pair

FRAMES = {
    "train": ["GOPR0372_07_00/000047", "GOPR0372_07_00/000048", "GOPR0374_11_01/000150"],
    "test": ["GOPR0384_11_00/000001", "GOPR0410_11_00/000133"],
}
# By hand, for frames of 520×600: tiles every 256 px, the last flush with the border.
CORNERS = [(0, 0), (0, 88), (8, 0), (8, 88)]


def frame(*seed):
    """Smooth noise as an RGB array, different for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (600, 520), interpolation=cv2.INTER_CUBIC)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, compress_level=1)


@pytest.fixture(scope="module")
def frames():
    """(split, sequence-number, kind) → image."""
    return {
        (part, name.replace("/", "-"), kind): frame(split, index, kinds)
        for split, (part, names) in enumerate(FRAMES.items())
        for index, name in enumerate(names)
        for kinds, kind in enumerate(("blur", "blur_gamma", "sharp"))
    }


@pytest.fixture(scope="module")
def original(frames, tmp_path_factory):
    root = tmp_path_factory.mktemp("original")
    for (part, name, kind), image in frames.items():
        sequence, number = name.split("-")
        save(root / part / sequence / kind / f"{number}.png", image)
    return root


@pytest.fixture(scope="module")
def repacked(frames, tmp_path_factory):
    root = tmp_path_factory.mktemp("repacked")
    for (part, name, kind), image in frames.items():
        if kind != "blur_gamma":
            folder = {"blur": "input", "sharp": "target"}[kind]
            save(root / part / folder / f"{name}.png", image)
    return root


@pytest.fixture(scope="module")
def prepared(original, tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("prepared"), original, accept_part=True)


@pytest.fixture
def copied(original, tmp_path):
    return shutil.copytree(original, tmp_path / "GOPRO_Large")


def records(directory, part):
    return {record["name"].decode(): record for record in open_split(directory, part)}


def test_training_tiles_are_windows_of_the_frames(prepared, frames):
    tiles = records(prepared, "train")
    assert len(tiles) == len(open_split(prepared, "train")) == len(CORNERS) * 3
    for name in ("GOPR0372_07_00-000047", "GOPR0372_07_00-000048", "GOPR0374_11_01-000150"):
        for top, left in CORNERS:
            tile = tiles[f"{name}_{top:04d}_{left:04d}"]
            assert tile["photograph"].decode() == name.split("-")[0]
            for key, kind in (("blurry", "blur"), ("sharp", "sharp")):
                window = frames["train", name, kind][top : top + 512, left : left + 512]
                np.testing.assert_array_equal(tile[key], window)


def test_test_frames_stay_whole(prepared, frames):
    whole = records(prepared, "test")
    assert set(whole) == {"GOPR0384_11_00-000001", "GOPR0410_11_00-000133"}
    for name, record in whole.items():
        assert record["photograph"].decode() == name.split("-")[0]
        np.testing.assert_array_equal(record["blurry"], frames["test", name, "blur"])
        np.testing.assert_array_equal(record["sharp"], frames["test", name, "sharp"])


def test_both_layouts_give_the_same_records(prepared, repacked, tmp_path):
    other = prepare(tmp_path, repacked, accept_part=True)
    for part in ("train", "test"):
        for one, two in zip(open_split(prepared, part), open_split(other, part), strict=True):
            assert one.keys() == two.keys()
            for key in one:
                np.testing.assert_array_equal(one[key], two[key])


def test_blur_gamma(original, frames, tmp_path):
    directory = prepare(tmp_path, original, blur="blur_gamma", accept_part=True)
    assert directory.parent.name.startswith("blur_gamma_")
    for name, record in records(directory, "test").items():
        np.testing.assert_array_equal(record["blurry"], frames["test", name, "blur_gamma"])
        np.testing.assert_array_equal(record["sharp"], frames["test", name, "sharp"])


def test_unknown_blurs_are_refused(original, repacked, tmp_path):
    with pytest.raises(ValueError, match=r"train/input is of the re-pack(.|\n)*blur='blur_gamma'"):
        find_pairs(repacked, "blur_gamma")
    with pytest.raises(ValueError, match="'sharp' is unknown: choose one of blur, blur_gamma"):
        prepare(tmp_path, original, blur="sharp")


def test_an_incomplete_set_is_refused(original, repacked, tmp_path):
    with pytest.raises(ValueError, match="--accept-part") as error:
        prepare(tmp_path / "new", original)
    assert str(error.value).splitlines()[1:] == [
        "train: found 3 pairs, expected 2103; 2 folders: "
        "train/GOPR0372_07_00/blur (2), train/GOPR0374_11_01/blur (1)",
        "test: found 2 pairs, expected 1111; 2 folders: "
        "test/GOPR0384_11_00/blur (1), test/GOPR0410_11_00/blur (1)",
    ]
    with pytest.raises(ValueError, match=r"found 3 pairs.*; 1 folders: train/input \(3\)"):
        prepare(tmp_path / "new", repacked)
    assert not (tmp_path / "new").exists()


def test_the_published_counts_are_accepted(tmp_path, monkeypatch):
    pairs = {
        part: [Pair(f"{i}", "scene", tmp_path / f"b{i}", tmp_path / f"s{i}") for i in range(count)]
        for part, count in (("train", 2103), ("test", 1111))
    }
    monkeypatch.setattr(
        "msdi_jax.data.gopro.gopro_dataset_builder.find_pairs", lambda *_, blur: pairs
    )
    monkeypatch.setattr(
        "msdi_jax.data.paired.downloads.prepare_pairs",
        lambda builder, directory, kind, pairs, raw: pairs,
    )
    assert prepare(tmp_path, tmp_path) == pairs
    pairs["test"].append(pairs["train"][0])
    with pytest.raises(ValueError, match="test: found 1112 pairs, expected 1111"):
        prepare(tmp_path, tmp_path)


def test_a_part_of_the_set(copied, tmp_path):
    shutil.rmtree(copied / "train")
    directory = prepare(tmp_path, copied, accept_part=True)
    assert len(open_split(directory, "test")) == 2
    with pytest.raises(ValueError, match="no split 'train'"):
        open_split(directory, "train")


def test_folders_without_the_set_are_refused(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path}/none is not a folder: expected \{{train"):
        prepare(tmp_path / "new", tmp_path / "none")
    (tmp_path / "train").mkdir()
    for accept_part in (False, True):
        with pytest.raises(ValueError, match=f"{tmp_path} holds no pairs: expected"):
            prepare(tmp_path / "new", tmp_path, accept_part=accept_part)
    assert not (tmp_path / "new").exists()


def test_a_prepared_set_needs_no_source(prepared, original, tmp_path):
    root = prepared.parents[2]
    assert prepare(root) == prepare(prepared) == prepared
    with pytest.raises(ValueError, match="holds no prepared set gopro of kind blur_gamma"):
        prepare(root, blur="blur_gamma")
    with pytest.raises(ValueError, match=f"{tmp_path} holds no prepared set gopro of kind blur:"):
        prepare(tmp_path)


def test_of_two_prepared_sets_one_must_be_named(copied, tmp_path):
    for part in ("train", "test"):
        moved = (copied / part).rename(tmp_path / part)
        prepare(tmp_path, copied, accept_part=True)
        moved.rename(copied / part)
    with pytest.raises(ValueError, match="holds 2 sets gopro of kind blur, give the directory"):
        prepare(tmp_path)


def test_all_bad_pairs_are_named_at_once(copied, tmp_path):
    sequence = copied / "train" / "GOPR0372_07_00"
    (sequence / "sharp" / "000047.png").unlink()
    (sequence / "blur" / "._000047.png").touch()  # of macOS, not an image
    save(sequence / "blur" / "000048.png", np.zeros((520, 598, 3), np.uint8))
    broken = copied / "train" / "GOPR0374_11_01" / "blur" / "000150.png"
    broken.write_bytes(broken.read_bytes()[:-5000])
    save(copied / "test" / "GOPR0384_11_00" / "sharp" / "000001.png", frame(9)[..., 0])
    deep = copied / "test" / "GOPR0410_11_00" / "blur" / "000133.png"
    cv2.imwrite(str(deep), frame(9).astype(np.uint16) * 257)
    with pytest.raises(ValueError, match="5 problems with the pairs, fix or remove them") as error:
        prepare(tmp_path / "new", copied, accept_part=True)
    lines = [line.removeprefix(f"{copied}/") for line in str(error.value).splitlines()[1:]]
    assert lines[0].startswith("train/GOPR0372_07_00/sharp/000047.png: missing, the partner of")
    assert lines[1].startswith("train/GOPR0372_07_00/blur/000048.png: 520×598 px, but")
    assert lines[1].endswith("sharp/000048.png: 520×600 px: pairs must have equal sizes")
    assert lines[2].startswith("train/GOPR0374_11_01/blur/000150.png: ")
    assert lines[3] == ("test/GOPR0384_11_00/sharp/000001.png: mode L, but 8-bit RGB is needed")
    assert lines[4] == (
        "test/GOPR0410_11_00/blur/000133.png: 16 bits per channel, but 8-bit RGB is needed"
    )
    assert not (tmp_path / "new").exists()


def test_a_finished_set_is_reused_until_a_file_changes(copied, tmp_path):
    shutil.rmtree(copied / "train" / "GOPR0374_11_01")
    first = prepare(tmp_path, copied, accept_part=True)
    stamp = (first / "dataset_info.json").stat().st_mtime_ns
    moved = copied.rename(tmp_path / "moved")
    assert prepare(tmp_path, moved, accept_part=True) == first
    assert (first / "dataset_info.json").stat().st_mtime_ns == stamp
    path = moved / "train" / "GOPR0372_07_00" / "blur" / "000047.png"
    image = np.array(Image.open(path))
    image[0, 0, 0] ^= 1
    save(path, image)
    second = prepare(tmp_path, moved, accept_part=True)
    assert second != first
    np.testing.assert_array_equal(open_split(second, "train")[0]["blurry"], image[:512, :512])


def test_an_interrupted_set_is_not_taken_for_a_finished_one(copied, tmp_path, monkeypatch):
    shutil.rmtree(copied / "train" / "GOPR0372_07_00")
    with monkeypatch.context() as patch:

        def fail(*_):
            raise KeyboardInterrupt

        patch.setattr("msdi_jax.data.paired.builder.encode_png", fail)
        with pytest.raises(KeyboardInterrupt):
            prepare(tmp_path, copied, accept_part=True)
    assert not list(tmp_path.rglob("dataset_info.json"))
    assert len(open_split(prepare(tmp_path, copied, accept_part=True), "train")) == 4
