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

    def deblur(sources, target, *more):
        main(
            [
                "deblur",
                "--model=any",
                "--restore=whole",
                "--input",
                *map(str, sources if isinstance(sources, list) else [sources]),
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


def test_the_loss_of_a_profile_is_reported(tmp_path, invert, capsys):
    metadata = image_io.Metadata(colour_profile())
    colour = image_io.Photograph(draw(8, 8, 3), metadata=metadata)
    image_io.write_photograph(tmp_path / "a.png", colour)
    invert(tmp_path / "a.png", tmp_path / "a.bmp")
    assert "a.bmp: written without the colour profile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "found"), [("2GB", 2 * 10**9), ("500 mb", 5 * 10**8), ("1.5G", 15 * 10**8), ("7", 7)]
)
def test_memory(text, found):
    assert deblur.parse_memory(text) == found


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "2 TB"])
def test_no_amount_of_memory(text):
    with pytest.raises(ValueError, match="write it like 2GB"):
        deblur.parse_memory(text)


def test_the_names_kept_and_lost_are_those_of_the_whole_file(tmp_path, invert, capsys):
    metadata = image_io.Metadata(iptc=b"\x1c\2\x78\0\1a", comment=b"a note", dpi=(300, 300))
    noted = image_io.Photograph(draw(8, 8, 3), metadata=metadata)
    image_io.write_photograph(tmp_path / "a.jpg", noted)
    invert(tmp_path / "a.jpg", tmp_path / "a.webp")
    assert (
        "a.webp: written without IPTC, the comment and the resolution in dpi; .png keeps the "
        "comment and the resolution in dpi"
    ) in capsys.readouterr().err


def test_colours_under_transparency_stay_and_change_nothing(tmp_path, invert):
    rgba = draw(8, 8, 4)
    rgba[2:5, 2:5, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    invert(tmp_path / "a.png", tmp_path / "b.png")
    found = np.asarray(Image.open(tmp_path / "b.png"))
    hidden = rgba[..., 3] == 0
    np.testing.assert_array_equal(found[hidden], rgba[hidden])
    np.testing.assert_array_equal(found[~hidden][:, :3], 255 - rgba[~hidden][:, :3])


def test_several_inputs_patterns_and_folders(folder, tmp_path, invert):
    (folder / "sub").mkdir()
    Image.fromarray(draw(8, 8, 3)).save(folder / "sub" / "b.jpg")
    invert([folder / "colour.png", f"{folder}/sub/*.jpg"], tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"colour.png", "b.jpg"}
    invert(folder / "grey.png", tmp_path / "out")
    assert (tmp_path / "out" / "grey.png").exists()


def test_subfolders_are_kept(folder, tmp_path, invert):
    (folder / "sub").mkdir()
    Image.fromarray(draw(8, 8, 3)).save(folder / "sub" / "colour.png")
    for _ in range(2):  # the second time with the output inside the input
        invert(folder, folder / "out", "--recursive")
    written = {str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*.png")}
    assert written == {"colour.png", "grey.png", "deep.png", "sub/colour.png"}


def test_existing_outputs_are_skipped_on_request(folder, tmp_path, invert, capsys, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "grey.png").write_bytes(b"old")
    invert(folder, tmp_path / "out", "--skip-existing")
    assert "1 of 3 exist already" in capsys.readouterr().err
    assert (tmp_path / "out" / "grey.png").read_bytes() == b"old"
    monkeypatch.setattr(models, "load", lambda path: pytest.fail("loaded"))
    invert(folder, tmp_path / "out", "--skip-existing")
    assert "3 of 3 exist already" in capsys.readouterr().err


@pytest.mark.parametrize("alone", [False, True])
def test_what_cannot_be_written_is_refused_before_the_work(tmp_path, invert, monkeypatch, alone):
    (tmp_path / "in").mkdir()
    Image.fromarray(draw(1, 16400, 3)).save(tmp_path / "in" / "long.png")
    monkeypatch.setattr(image_io, "read_photograph", None)
    if alone:
        monkeypatch.setattr(models, "load", lambda path: pytest.fail("loaded"))
        arguments = tmp_path / "in" / "long.png", tmp_path / "long.webp"
    else:
        Image.fromarray(draw(1, 16500, 3)).save(tmp_path / "in" / "longer.png")
        arguments = tmp_path / "in", tmp_path / "out", "--format=webp"
    with pytest.raises(SystemExit) as stop:
        invert(*arguments)
    message = str(stop.value.code)
    assert "long.webp cannot hold 16400×1 pixels: .webp files have at most 16383" in message
    assert alone or "longer.webp cannot hold 16500×1" in message


def test_a_photograph_beyond_the_memory_is_refused_before_it_is_read(tmp_path, invert, monkeypatch):
    """By --memory, with no limit on the number of pixels."""
    with Image.new("1", (40_000, 20_000)) as huge:
        huge.save(tmp_path / "a.png")
    monkeypatch.setattr(image_io, "read_photograph", None)
    monkeypatch.setattr(models, "load", lambda path: pytest.fail("loaded"))
    message = "a.png: memory of 2000 MB is too little for a photograph of 20000×40000 pixels: allow"
    with pytest.raises(SystemExit, match=message):
        main(["deblur", f"--input={tmp_path}/a.png", f"--output={tmp_path}/b.png", "--memory=2GB"])


def test_a_truncated_jpeg_is_restored_with_a_warning(tmp_path, invert, capsys):
    Image.fromarray(draw(400, 64, 3)).save(tmp_path / "a.jpg", quality=95)
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: int(len(whole) * 0.98)])
    invert(tmp_path / "a.jpg", tmp_path / "b.png")
    assert "a.jpg is truncated: about" in capsys.readouterr().err


def test_a_home_folder_is_expanded(tmp_path, invert, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(draw(8, 8, 3)).save(tmp_path / "a.png")
    invert("~/a.png", "~/out/")
    assert (tmp_path / "out" / "a.png").exists()
