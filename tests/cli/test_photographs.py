"""Which photographs a command line names, and where they go."""

from pathlib import Path

import pytest
from PIL import Image

from msdi_jax.cli import photographs
from tests.restoration.pictures import draw


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("colour.png", "grey.png", "deep.png"):
        Image.fromarray(draw(4, 4, 3)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    return tmp_path / "in"


def jobs(source, target, form=None, recursive=False):
    return photographs.jobs([Path(source)], Path(target), form, recursive)


def test_files_left_out_of_a_folder_are_reported(folder, tmp_path, capsys):
    for name in ("a.gif", ".hidden", "README"):
        (folder / name).touch()
    (folder / "more").mkdir()
    jobs(folder, tmp_path / "out")
    message = "in: left out 1 .gif, 1 .txt, 1 folder, 1 without suffix; images are .png, .jpg"
    found = capsys.readouterr().err
    assert message in found
    assert "--recursive enters folders" in found


def test_formats_that_are_only_read_become_png(folder, tmp_path):
    for name in ("IMG_1.HEIC", "b.avif", "c.jxl"):
        (folder / name).touch()
    names = {job.target.name for job in jobs(folder, tmp_path / "out")}
    assert names == {"colour.png", "grey.png", "deep.png", "IMG_1.png", "b.png", "c.png"}
    names = {job.target.name for job in jobs(folder, tmp_path / "out", "jpg")}
    assert {"IMG_1.jpg", "colour.jpg"} < names


def test_one_name_for_two_inputs_is_refused(folder, tmp_path):
    Image.fromarray(draw(4, 4, 3)).save(folder / "colour.jpg")
    message = r"colour\.jpg and .*colour\.png would both become .*: rename one, or restore them"
    with pytest.raises(ValueError, match=message):
        jobs(folder, tmp_path / "out", "png")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("distinguished", [True, False])
def test_names_that_differ_by_case_are_as_the_disk_has_them(
    folder, tmp_path, monkeypatch, distinguished
):
    Image.fromarray(draw(4, 4, 3)).save(folder / "Colour.png")
    if photographs.distinguishes_case(tmp_path) and distinguished:
        assert len(jobs(folder, tmp_path / "out")) == 4
    monkeypatch.setattr(photographs, "distinguishes_case", lambda folder: distinguished)
    if not distinguished:
        with pytest.raises(ValueError, match=r"olour\.png and .*olour\.png would both become"):
            jobs(folder, tmp_path / "out")


@pytest.mark.parametrize("way", ["itself", "folder", "link"])
def test_no_input_is_overwritten(folder, tmp_path, way):
    source, target = folder, folder
    if way == "itself":
        source = target = folder / "colour.png"
    if way == "link":
        target = tmp_path / "out"
        target.mkdir()
        (target / "grey.png").hardlink_to(folder / "grey.png")
    with pytest.raises(ValueError, match="would overwrite an input"):
        jobs(source, target)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    Image.fromarray(draw(4, 4, 3)).save(tmp_path / "in" / "sub" / "a.png")
    with pytest.raises(ValueError, match=r"in holds no images .*; --recursive enters its subfolde"):
        jobs(tmp_path / "in", tmp_path / "out")
    assert len(jobs(tmp_path / "in", tmp_path / "out", recursive=True)) == 1


def test_a_pattern_without_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\*\.jpg matches no file"):
        jobs(tmp_path / "*.jpg", tmp_path / "out")


def test_brackets_in_a_name_are_no_pattern(tmp_path):
    Image.fromarray(draw(4, 4, 3)).save(tmp_path / "a[1].png")
    assert jobs(tmp_path / "a[1].png", tmp_path / "b.png")[0].source.name == "a[1].png"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_text("a file"), "is a file: name a folder to write several images to"),
        (lambda p: (p.mkdir(), (p / "grey.png").touch(0o444)), r"grey\.png is read-only"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(folder, tmp_path, make, message):
    make(tmp_path / "out")
    with pytest.raises(ValueError, match=message):
        jobs(folder, tmp_path / "out")
