import itertools

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from msdi_jax.evaluation import test_sets
from msdi_jax.evaluation.test_sets import Size


def write(path, size=(12, 16), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path, **options)
    return path


def test_every_problem_is_listed_in_one_refusal(tmp_path):
    folder = tmp_path / "results"
    for name in ("a", "small", "more", "scene/more"):
        write(folder / f"{name}.png", (12, 16) if name != "small" else (12, 15))
    (folder / "damaged.png").write_bytes(b"\x89PNG")
    (folder / "notes.txt").write_text("text")
    names = ["a", "small.jpg", "gone", "scene/b.png", "damaged"]
    with pytest.raises(ValueError, match="nothing was scored") as refused:
        test_sets.match_images(folder, names, [Size(12, 16)] * 5)
    lines = str(refused.value).splitlines()
    assert "fix these 6" in lines[0]
    assert lines[1:] == [
        f"extra: {folder}/more.png belongs to no image of the set",
        f"extra: {folder}/scene/more.png belongs to no image of the set",
        "missing: gone.png",
        "missing: scene/b.png",
        f"size: {folder}/small.png is 12×15 px and its sharp image 12×16 px",
        next(line for line in lines if line.startswith(f"unreadable: {folder}/damaged.png")),
    ]


def test_suffixes_do_not_matter(tmp_path):
    a = write(tmp_path / "scene" / "a.JPG")
    b = write(tmp_path / "000001.v2.png")
    names = ["scene/a.png", "000001.v2"]
    assert test_sets.match_images(tmp_path, names, [Size(12, 16)] * 2) == {names[0]: a, names[1]: b}


def test_two_files_of_one_name_are_refused(tmp_path):
    write(tmp_path / "a.png")
    write(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg and .*a\.png have one name"):
        test_sets.list_images(tmp_path)


@pytest.mark.parametrize(
    ("folder", "message"), [("gone", "is not a folder"), ("", "holds no images")]
)
def test_folders_without_images_are_refused(tmp_path, folder, message):
    (tmp_path / "._a.png").write_bytes(b"macOS")
    with pytest.raises(ValueError, match=message):
        test_sets.list_images(tmp_path / folder)


def test_folders_are_a_source(tmp_path):
    for name in ("b/1", "a"):
        write(tmp_path / "sharp" / f"{name}.png")
        write(tmp_path / "blurry" / f"{name}.jpg")
    source = test_sets.FolderPairs(tmp_path / "sharp", tmp_path / "blurry")
    assert [source[i]["name"] for i in range(len(source))] == ["a", "b/1"]
    expected = np.asarray(Image.open(tmp_path / "sharp" / "a.png"))
    np.testing.assert_array_equal(source[0]["sharp"], expected)
    assert source[0]["blurry"].shape == (12, 16, 3)
    assert "blurry" not in test_sets.FolderPairs(tmp_path / "sharp")[0]
    (tmp_path / "blurry" / "a.jpg").unlink()
    with pytest.raises(ValueError, match=r"missing: a\.png"):
        test_sets.FolderPairs(tmp_path / "sharp", tmp_path / "blurry")


def test_a_prepared_set_is_described_without_decoding(tmp_path, monkeypatch):
    from msdi_jax.data.pairs.pairs_dataset_builder import open_split, prepare
    from msdi_jax.data.readable import SkipDamaged

    for i in range(6):
        write(tmp_path / "sharp" / f"scene{i}.png", (12, 16 + i))
        write(tmp_path / "blurry" / f"scene{i}.png", (12, 16 + i))
    folders = {kind: tmp_path / kind for kind in ("blurry", "sharp")}
    source = SkipDamaged(open_split(prepare(tmp_path / "set", **folders, tile=0), "test"))
    records = [source[i] for i in range(len(source))]

    def refuse(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(tfds.features.Image, "decode_example_np", refuse)
    with pytest.raises(ValueError, match="decoded"):
        source[0]
    names, sizes = test_sets.names_and_sizes(source)
    assert names == [record["name"].decode() for record in records]
    assert sizes == [record["sharp"].shape[:2] for record in records]
    assert len(names) > 0


def test_a_damaged_record_of_a_prepared_set_is_named(tmp_path, monkeypatch):
    from msdi_jax.data.pairs.pairs_dataset_builder import prepare

    folders = {kind: tmp_path / kind for kind in ("blurry", "sharp")}
    for folder, number in itertools.product(folders.values(), range(4)):
        write(folder / f"scene{number}.png")
    directory = prepare(tmp_path / "set", **folders, tile=0)

    def refuse(*_):
        raise OSError("truncated")

    _, source = test_sets.open_prepared("pairs", str(directory), "test")
    monkeypatch.setattr(tfds.features.Image, "decode_example_np", refuse)
    with pytest.raises(ValueError, match=r"record 0 \(scene\d\.png\) cannot be read: .*truncated"):
        source[0]


def test_changed_pixels_of_a_tiff_change_the_digest(tmp_path):
    """Its end is the list of its tags."""
    before = np.zeros((64, 64, 3), np.uint8)
    digests = set()
    for picture in (before, before + 1):
        cv2.imwrite(str(tmp_path / "a.tif"), picture, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
        digests.add(test_sets.digest([tmp_path / "a.tif"]))
    assert len(digests) == 2


def test_a_changed_file_changes_the_digest(tmp_path):
    paths = [write(tmp_path / "a.png"), write(tmp_path / "b.png")]
    before = test_sets.digest(paths)
    assert test_sets.digest(paths) == before
    pixels = np.asarray(Image.open(paths[0])).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(paths[0])
    assert test_sets.digest(paths) != before
