"""`msdi deblur`: files and folders of images, with a model that inverts."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from msdi_jax import models
from msdi_jax.cli import deblur
from msdi_jax.cli.main import main
from msdi_jax.restoration import image_io
from tests.restoration.pictures import HEIGHT, WIDTH, colour_profile, draw, write_png
from tests.small_networks import SMALL


@pytest.fixture
def invert(monkeypatch):
    """A model that inverts, so that every file shows whether it was restored."""
    description = models.Description(SMALL, {}, "")
    loaded = SimpleNamespace(deblur=lambda x: 1 - x, description=description, architecture=SMALL)
    monkeypatch.setattr(models, "load", lambda path: loaded)

    def deblur(source, target, *more):
        main(
            [
                "deblur",
                "--model=any",
                "--restore=whole",
                f"--input={source}",
                f"--output={target}",
                *more,
            ]
        )

    return deblur


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    write_png(tmp_path / "in" / "colour.png", draw(HEIGHT, WIDTH, 3))
    write_png(tmp_path / "in" / "grey.png", draw(HEIGHT, WIDTH, 1))
    write_png(tmp_path / "in" / "deep.png", draw(HEIGHT, WIDTH, 4, dtype=np.uint16))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    return tmp_path / "in"


def test_folder(folder, tmp_path, invert):
    invert(folder, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"colour.png", "grey.png", "deep.png"}

    def raw(name):
        return cv2.imread(str(tmp_path / "out" / name), cv2.IMREAD_UNCHANGED)

    np.testing.assert_array_equal(raw("colour.png")[..., ::-1], 255 - draw(HEIGHT, WIDTH, 3))
    np.testing.assert_array_equal(raw("grey.png").squeeze(), 255 - draw(HEIGHT, WIDTH, 1)[..., 0])
    deep = draw(HEIGHT, WIDTH, 4, dtype=np.uint16)
    np.testing.assert_array_equal(raw("deep.png")[..., 2::-1], 65535 - deep[..., :3])
    np.testing.assert_array_equal(raw("deep.png")[..., 3], deep[..., 3])


def test_bad_files_are_reported_and_the_others_restored(folder, tmp_path, invert, capsys):
    for name in ("colour", "deep"):
        content = (folder / f"{name}.png").read_bytes()
        (folder / f"broken_{name}.png").write_bytes(content[: len(content) - 60])
    (folder / "text.jpg").write_text("no image")
    # Large enough for a second chunk of pixels, whose name is then damaged.
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    Image.fromarray(noise).save(folder / "chunk.png")
    before, name, after = (folder / "chunk.png").read_bytes().rpartition(b"IDAT")
    assert name in before
    (folder / "chunk.png").write_bytes(before + b"\1\2\3\4" + after)
    with pytest.raises(SystemExit) as stop:
        invert(folder, tmp_path / "out")
    message = str(stop.value.code)
    assert "4 of 7 images could not be restored" in message
    assert "chunk.png cannot be read" in message
    assert "broken_colour.png cannot be read" in message
    assert "broken_deep.png cannot be read" in message
    assert "text.jpg cannot be read" in message
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"colour.png", "grey.png", "deep.png"}


def test_files_left_out_of_a_folder_are_reported(folder, tmp_path, invert, capsys):
    for name in ("IMG_1.HEIC", "IMG_2.heic", "a.gif", ".hidden", "README"):
        (folder / name).touch()
    (folder / "more").mkdir()
    invert(folder, tmp_path / "out")
    message = (
        "in: left out 1 .gif, 2 .heic, 1 .txt, 1 folder, 1 without suffix; images are .png, .jpg"
    )
    assert message in capsys.readouterr().err


def test_a_link_that_leads_nowhere_is_reported(folder, tmp_path, invert):
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(SystemExit) as stop:
        invert(folder, tmp_path / "out")
    assert "gone.png" in str(stop.value.code)


def test_a_full_disk_ends_the_work(folder, tmp_path, invert, monkeypatch):
    def full(path, photograph):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(image_io, "write_photograph", full)
    with pytest.raises(SystemExit) as stop:
        invert(folder, tmp_path / "out")
    message = str(stop.value.code)
    assert "colour.png cannot be written: No space left on device" in message
    assert "2 more were not tried" in message
    assert "grey.png" not in message


def test_a_place_that_cannot_be_written_to_is_refused_first(folder, tmp_path, invert, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "out")
    monkeypatch.setattr(models, "load", lambda path: pytest.fail("loaded"))
    for source, target in ((folder, "out"), (folder / "grey.png", "out/grey.png")):
        with pytest.raises(SystemExit, match=r"the folder .*out cannot be written to"):
            invert(source, tmp_path / target)


def test_losses_are_reported(folder, tmp_path, invert, capsys):
    invert(folder, tmp_path / "out", "--format=jpg")
    assert (
        "deep.jpg: written without the alpha channel and 16-bit depth, which"
        in capsys.readouterr().err
    )
    assert Image.open(tmp_path / "out" / "grey.jpg").mode == "L"


def test_the_loss_of_exif_is_reported(tmp_path, invert, capsys):
    tags = Image.Exif()
    tags[0x010F] = "Maker"
    Image.fromarray(draw(8, 8, 3)).save(tmp_path / "a.jpg", exif=tags)
    invert(tmp_path / "a.jpg", tmp_path / "a.tif")
    assert "a.tif: written without EXIF, which .png keeps" in capsys.readouterr().err


def test_the_loss_of_a_profile_is_reported(tmp_path, invert, capsys):
    colour = image_io.Photograph(draw(8, 8, 3), profile=colour_profile())
    image_io.write_photograph(tmp_path / "a.png", colour)
    invert(tmp_path / "a.png", tmp_path / "a.bmp")
    assert "a.bmp: written without the colour profile" in capsys.readouterr().err


def test_one_name_for_two_inputs_is_refused(folder, tmp_path, invert):
    Image.fromarray(draw(4, 4, 3)).save(folder / "Colour.jpg")
    with pytest.raises(SystemExit, match=r"Colour\.jpg and .*colour\.png would both become"):
        invert(folder, tmp_path / "out", "--format=png")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("way", ["itself", "folder", "link"])
def test_no_input_is_overwritten(folder, tmp_path, invert, way):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    source, target = folder, folder
    if way == "itself":
        source = target = folder / "colour.png"
    if way == "link":
        target = tmp_path / "out"
        target.mkdir()
        (target / "grey.png").hardlink_to(folder / "grey.png")
    with pytest.raises(SystemExit, match="would overwrite an input"):
        invert(source, target)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_folder_without_images_is_refused(tmp_path, invert):
    (tmp_path / "in").mkdir()
    with pytest.raises(SystemExit, match="in holds no images"):
        invert(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "found"), [("2GB", 2 * 10**9), ("500 mb", 5 * 10**8), ("1.5G", 15 * 10**8), ("7", 7)]
)
def test_memory(text, found):
    assert deblur.parse_memory(text) == found


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "2 TB"])
def test_no_amount_of_memory(text):
    with pytest.raises(ValueError, match="write it like 2GB"):
        deblur.parse_memory(text)
