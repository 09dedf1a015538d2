"""Folders of images, and how their names are matched."""

import numpy as np
import pytest
from PIL import Image

from msdi_jax.evaluation import folders
from msdi_jax.evaluation.test_sets import Size

SIZE = Size(12, 16)


def write(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return path


def test_every_problem_is_listed_in_one_refusal(tmp_path):
    folder = tmp_path / "results"
    for name in ("a", "small", "more", "scene/more"):
        write(folder / f"{name}.png", (12, 16) if name != "small" else (12, 15))
    (folder / "damaged.png").write_bytes(b"\x89PNG")
    (folder / "notes.txt").write_text("text")
    names = ["a", "small.jpg", "gone", "scene/b.png", "damaged"]
    with pytest.raises(ValueError, match="nothing was scored") as refused:
        folders.match_images(folder, names, [Size(12, 16)] * 5)
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
    assert folders.match_images(tmp_path, names, [Size(12, 16)] * 2) == {names[0]: a, names[1]: b}


@pytest.mark.parametrize(
    ("sharp", "blurry"),
    [
        (["a.jpg.png"], ["a.jpg.png"]),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.jpg", "a.jpg.png"], ["a.jpg", "a.jpg.png"]),
        (["a.jpg", "a.jpg.png"], ["a.png", "a.jpg.png"]),
        (["a.JPG", "b.jpg"], ["a.jpg.png", "b.jpg.png"]),
        (["a.jpg.png"], ["a.webp"]),
        (["scene/a.v2.png", "a.v3.png"], ["scene/a.v2.jpg", "a.v3.jpg"]),
    ],
)
def test_equal_names_match_first_then_names_without_a_suffix(tmp_path, sharp, blurry):
    for folder, names in (("sharp", sharp), ("blurry", blurry)):
        for name in names:
            write(tmp_path / folder / name)
    files = folders.FolderPairs(tmp_path / "sharp", tmp_path / "blurry").files
    assert files["sharp"].keys() == files["blurry"].keys()
    pairs = {tuple(files[kind][name] for kind in files) for name in files["sharp"]}
    expected = zip(sharp, blurry, strict=True)
    assert pairs == {(tmp_path / "sharp" / a, tmp_path / "blurry" / b) for a, b in expected}


@pytest.mark.parametrize(
    ("sharp", "blurry", "message"),
    [
        (["a.bmp"], ["a.jpg", "a.png"], r"ambiguous: .*/a\.jpg and .*/a\.png for a: rename one"),
        (["a.jpg", "a.png"], ["a.bmp"], r"ambiguous: .*/a\.bmp for a\.jpg and a\.png: rename"),
        (["a.png"], ["a.png", "a.png.png"], r"extra: .*/a\.png\.png belongs to no image"),
    ],
)
def test_files_that_may_be_meant_are_named(tmp_path, sharp, blurry, message):
    for folder, names in (("sharp", sharp), ("blurry", blurry)):
        for name in names:
            write(tmp_path / folder / name)
    with pytest.raises(ValueError, match=message) as refused:
        folders.FolderPairs(tmp_path / "sharp", tmp_path / "blurry")
    assert "fix these 1" in str(refused.value)


@pytest.mark.parametrize(("blurry", "sharp"), [("all", "all"), ("blurry", "sharp")])
def test_templates(tmp_path, blurry, sharp):
    for name in ("im1", "scene/im2"):
        write(tmp_path / blurry / f"{name}_blur.jpg")
        write(tmp_path / sharp / f"{name}_sharp.png")
        write(tmp_path / "results" / f"{name}_blur.png")
    templates = {"blurry": "{}_blur", "sharp": "{}_sharp"}
    arguments = tmp_path / sharp, tmp_path / blurry, templates
    pairs = folders.folder_pairs(*arguments)
    assert pairs.names == ["im1", "scene/im2"]
    assert pairs.source.files["blurry"]["im1"] == tmp_path / blurry / "im1_blur.jpg"
    assert pairs.source.files["sharp"]["scene/im2"] == tmp_path / sharp / "scene/im2_sharp.png"
    files = folders.match_images(tmp_path / "results", pairs.names, pairs.sizes, "{}_blur")
    assert files["im1"] == tmp_path / "results" / "im1_blur.png"
    write(tmp_path / blurry / "other.png")
    with pytest.raises(ValueError, match=r"other\.png does not fit \{\}_blur"):
        folders.folder_pairs(*arguments)
    (tmp_path / blurry / "other.png").rename(tmp_path / blurry / "im3_blur.png")
    with pytest.raises(ValueError, match=r"extra: .*im3_blur\.png belongs to no image"):
        folders.folder_pairs(*arguments)
    write(tmp_path / sharp / "im3_sharp.png")
    write(tmp_path / sharp / "im4_sharp.png")
    with pytest.raises(ValueError, match=r"missing: im4, named \{\}_blur"):
        folders.folder_pairs(*arguments)


def test_templates_without_blurry_images(tmp_path):
    write(tmp_path / "im1_sharp.png")
    assert folders.folder_pairs(tmp_path, templates={"sharp": "{}_sharp"}).names == ["im1"]


@pytest.mark.parametrize(
    ("folder", "message"), [("gone", "is not a folder"), ("", "holds no images")]
)
def test_folders_without_images_are_refused(tmp_path, folder, message):
    (tmp_path / "._a.png").write_bytes(b"macOS")
    with pytest.raises(ValueError, match=message):
        folders.list_images(tmp_path / folder)


def test_folders_are_a_source(tmp_path):
    for name in ("b/1", "a"):
        write(tmp_path / "sharp" / f"{name}.png")
        write(tmp_path / "blurry" / f"{name}.jpg")
    source = folders.FolderPairs(tmp_path / "sharp", tmp_path / "blurry")
    assert [source[i]["name"] for i in range(len(source))] == ["a", "b/1"]
    expected = np.asarray(Image.open(tmp_path / "sharp" / "a.png"))
    np.testing.assert_array_equal(source[0]["sharp"], expected)
    assert source[0]["blurry"].shape == (12, 16, 3)
    assert "blurry" not in folders.FolderPairs(tmp_path / "sharp")[0]
    (tmp_path / "blurry" / "a.jpg").unlink()
    with pytest.raises(ValueError, match=r"missing: a\.png"):
        folders.FolderPairs(tmp_path / "sharp", tmp_path / "blurry")
