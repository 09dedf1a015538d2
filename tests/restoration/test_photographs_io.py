"""What files hold beyond 8-bit RGB, and folders of them."""

import contextlib
import dataclasses
import errno
import os
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from msdi_jax.__main__ import main
from msdi_jax.cli import deblur
from msdi_jax.models import model
from msdi_jax.restoration import image_io

HEIGHT, WIDTH = 5, 7


def draw(*shape, dtype=np.uint8):
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def write_png(path, values):
    """A PNG by its specification alone: 8 or 16 bit with 1 to 4 channels, no filter."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    big_endian = values.astype(values.dtype.newbyteorder(">"))
    lines = b"".join(b"\0" + row.tobytes() for row in big_endian)
    header = struct.pack(">IIBBBBB", width, height, 8 * values.itemsize, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in parts
        )
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_every_kind(tmp_path, channels, dtype):
    values = draw(HEIGHT, WIDTH, channels, dtype=dtype)
    write_png(tmp_path / "a.png", values)
    found = image_io.read_photograph(tmp_path / "a.png")
    assert found.rgb.dtype == dtype
    assert found.grey == (channels < 3)
    np.testing.assert_array_equal(
        found.rgb,
        np.broadcast_to(values[..., :3] if channels > 2 else values[..., :1], (HEIGHT, WIDTH, 3)),
    )
    if channels in (2, 4):
        np.testing.assert_array_equal(found.alpha, values[..., -1])
    else:
        assert found.alpha is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_lossless_round_trip(tmp_path, suffix, dtype, alpha, grey):
    rgb = draw(HEIGHT, WIDTH, 3, dtype=dtype)
    rgb = rgb[..., :1].repeat(3, axis=2) if grey else rgb
    written = image_io.Photograph(rgb, draw(HEIGHT, WIDTH, dtype=dtype) if alpha else None, grey)
    path = tmp_path / f"a{suffix}"
    image_io.write_photograph(path, written)
    found = image_io.read_photograph(path)
    assert found.rgb.dtype == dtype
    np.testing.assert_array_equal(found.rgb, rgb)
    np.testing.assert_array_equal(found.alpha, written.alpha)
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if suffix == ".tif" and alpha:
        return  # OpenCV multiplies the colours of such files by their alpha
    assert raw.dtype == dtype
    if grey and not alpha:
        np.testing.assert_array_equal(raw.squeeze(), rgb[..., 0])
    elif not grey:
        np.testing.assert_array_equal(raw[..., 2::-1], rgb)


def test_16_bits_become_8_where_the_format_holds_no_more(tmp_path):
    image_io.write_photograph(
        tmp_path / "a.bmp", image_io.Photograph(draw(4, 4, 3, dtype=np.uint16))
    )
    expected = np.round(draw(4, 4, 3, dtype=np.uint16) / 257)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.bmp")), expected)


def test_16_bits_are_restored_without_passing_8(tmp_path):
    values = draw(HEIGHT, WIDTH, 3, dtype=np.uint16)
    photograph = image_io.Photograph(values)
    np.testing.assert_array_equal(photograph.restored(photograph.unit()).rgb, values)


def test_16_bits_of_a_large_tiff_are_kept(tmp_path):
    """BigTIFF, as writers of large files choose: another number in its head."""
    values = draw(HEIGHT, WIDTH, 3, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, bigtiff=True, photometric="rgb")
    np.testing.assert_array_equal(image_io.read_photograph(tmp_path / "a.tif").rgb, values)


def test_16_bit_png_is_turned_upright(tmp_path):
    values = draw(HEIGHT, WIDTH, 3, dtype=np.uint16)
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    write_png(tmp_path / "a.png", values)
    plain = (tmp_path / "a.png").read_bytes()
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    (tmp_path / "a.png").write_bytes(plain[:33] + chunk + plain[33:])
    np.testing.assert_array_equal(
        image_io.read_photograph(tmp_path / "a.png").rgb, np.rot90(values, -1)
    )


@pytest.fixture
def profile():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_profile_is_kept(tmp_path, dtype, suffix, alpha, profile):
    rgb = draw(HEIGHT, WIDTH, 3, dtype=dtype)
    opacity = draw(HEIGHT, WIDTH, 1, dtype=dtype)[..., 0] if alpha else None
    path = tmp_path / f"a{suffix}"
    image_io.write_photograph(path, image_io.Photograph(rgb, opacity, profile=profile))
    found = image_io.read_photograph(path)
    assert found.profile == profile
    np.testing.assert_array_equal(found.rgb, rgb)
    assert alpha == (found.alpha is not None)
    if alpha:
        np.testing.assert_array_equal(found.alpha, opacity)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_what_the_camera_noted_is_kept_but_for_the_orientation(tmp_path, dtype, suffix):
    with Image.fromarray(draw(HEIGHT, WIDTH, 3)) as picture:
        tags = picture.getexif()
        tags[image_io.ORIENTATION], tags[0x010F] = 6, "Maker"
        tags.get_ifd(0x8769)[0x9003] = "2026:11:27 12:00:00"
        picture.save(tmp_path / "a.jpg", exif=tags)
    found = image_io.read_photograph(tmp_path / "a.jpg")
    assert found.rgb.shape == (WIDTH, HEIGHT, 3)
    deep = dataclasses.replace(found, rgb=found.rgb.astype(dtype))
    image_io.write_photograph(tmp_path / f"b{suffix}", deep)
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert written.size == (HEIGHT, WIDTH)
        tags = written.getexif()
        assert image_io.ORIENTATION not in tags
        assert tags[0x010F] == "Maker"
        assert tags.get_ifd(0x8769)[0x9003] == "2026:11:27 12:00:00"
    again = image_io.read_photograph(tmp_path / f"b{suffix}")
    assert again.exif


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_noted_in_a_tiff_is_kept_but_for_where_its_pixels_lie(tmp_path, dtype):
    tags = Image.Exif()
    tags[image_io.ORIENTATION], tags[0x010F] = 6, "Maker"
    tags[0x8769] = {0x9003: "2026:11:27 12:00:00"}
    Image.fromarray(draw(HEIGHT, WIDTH, 3)).save(tmp_path / "a.jpg", exif=tags)
    if dtype == np.uint8:
        with Image.open(tmp_path / "a.jpg") as picture:
            picture.save(tmp_path / "a.tif", exif=picture.getexif())
    else:
        noted = [(0x0112, "H", 1, 6, True), (0x010F, "s", 0, "Maker", True)]
        deep = draw(HEIGHT, WIDTH, 3, dtype=dtype)
        tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", extratags=noted)
    found = image_io.read_photograph(tmp_path / "a.tif")
    assert found.rgb.dtype == dtype
    assert found.rgb.shape == (WIDTH, HEIGHT, 3)
    image_io.write_photograph(tmp_path / "b.jpg", found)
    with Image.open(tmp_path / "b.jpg") as written:
        assert written.size == (HEIGHT, WIDTH)
        tags = written.getexif()
    assert tags[0x010F] == "Maker"
    assert not {image_io.ORIENTATION, 0x0100, 0x0111} & set(tags)
    if dtype == np.uint8:
        assert tags.get_ifd(0x8769)[0x9003] == "2026:11:27 12:00:00"


def test_a_profile_of_colours_keeps_grey_in_colours(tmp_path, profile):
    grey = draw(HEIGHT, WIDTH, 1, dtype=np.uint16).repeat(3, axis=2)
    image_io.write_photograph(tmp_path / "a.png", image_io.Photograph(grey, profile=profile))
    found = image_io.read_photograph(tmp_path / "a.png")
    assert not found.grey
    image_io.write_photograph(tmp_path / "b.png", found)
    with Image.open(tmp_path / "b.png") as written:
        assert written.mode == "RGB"
    image_io.write_photograph(tmp_path / "c.png", image_io.Photograph(grey))
    assert image_io.read_photograph(tmp_path / "c.png").grey


def test_float_images_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif has values of type float32: save it as 8 or"):
        image_io.read_photograph(tmp_path / "a.tif")


RGB = draw(HEIGHT, WIDTH, 3, dtype=np.uint16)


@pytest.mark.parametrize(
    ("values", "options", "told"),
    [
        (
            RGB.transpose(2, 0, 1),
            {"planarconfig": "separate"},
            "its colours in planes of their own",
        ),
        (RGB[..., 0], {"photometric": "miniswhite"}, "0 for white"),
        (np.dstack([RGB, RGB[..., :1]]), {"extrasamples": ["assocalpha"]}, "multiplied by alpha"),
        (RGB.astype(np.uint8), {"subfiletype": 1}, "a small picture of the photograph first"),
    ],
)
def test_tiff_that_would_be_read_as_something_else_is_refused(tmp_path, values, options, told):
    tifffile.imwrite(tmp_path / "a.tif", values, **{"photometric": "rgb"} | options)
    with pytest.raises(ValueError, match=rf"a\.tif has .*{told}.*: save it as a PNG"):
        image_io.read_photograph(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(("second", "refused"), [({}, True), ({"subfiletype": 1}, False)])
def test_further_pages_are_refused_but_small_versions_are_not(tmp_path, kind, second, refused):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for options in ({}, second):
            file.write(RGB.astype(kind), photometric="rgb", **options)
    told = pytest.raises(ValueError, match=r"a\.tif has 2 pages: save each as a picture")
    with told if refused else contextlib.nullcontext():
        assert np.array_equal(image_io.read_photograph(tmp_path / "a.tif").rgb, RGB.astype(kind))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".gif"])
def test_animations_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(draw(8, 8, 3)), Image.fromarray(draw(8, 8, 3)[::-1])]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="is an animation"):
        image_io.read_photograph(path)


def test_a_profile_of_other_colours_is_dropped(tmp_path, profile):
    lab = ImageCms.createProfile("LAB")
    picture = Image.fromarray(draw(8, 8, 3))
    ImageCms.profileToProfile(picture, ImageCms.createProfile("sRGB"), lab, outputMode="LAB").save(
        tmp_path / "a.tif", icc_profile=profile
    )
    found = image_io.read_photograph(tmp_path / "a.tif")
    assert found.profile is None


@pytest.fixture
def invert(monkeypatch):
    """A model that inverts, so that every file tells whether it was restored."""
    description = model.Description("msdi2_net", 2, 4, {}, "")
    loaded = SimpleNamespace(deblur=lambda x: 1 - x, description=description)
    monkeypatch.setattr(model, "load", lambda path: loaded)

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


def test_bad_files_are_told_and_the_good_ones_done(folder, tmp_path, invert, capsys):
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
    told = str(stop.value.code)
    assert "4 of 7 images could not be restored" in told
    assert "chunk.png cannot be read" in told
    assert "broken_colour.png cannot be read" in told
    assert "broken_deep.png cannot be read" in told
    assert "text.jpg cannot be read" in told
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"colour.png", "grey.png", "deep.png"}


def test_what_is_left_out_of_a_folder_is_told(folder, tmp_path, invert, capsys):
    for name in ("IMG_1.HEIC", "IMG_2.heic", "a.gif", ".hidden", "README"):
        (folder / name).touch()
    (folder / "more").mkdir()
    invert(folder, tmp_path / "out")
    told = "in: left out 1 .gif, 2 .heic, 1 .txt, 1 folder, 1 without suffix; images are .png, .jpg"
    assert told in capsys.readouterr().err


def test_a_link_that_leads_nowhere_is_told(folder, tmp_path, invert):
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
    told = str(stop.value.code)
    assert "colour.png cannot be written: No space left on device" in told
    assert "2 more were not tried" in told
    assert "grey.png" not in told


def test_a_place_that_cannot_be_written_to_is_refused_first(folder, tmp_path, invert, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "out")
    monkeypatch.setattr(model, "load", lambda path: pytest.fail("loaded"))
    for source, target in ((folder, "out"), (folder / "grey.png", "out/grey.png")):
        with pytest.raises(SystemExit, match=r"the folder .*out cannot be written to"):
            invert(source, tmp_path / target)


def test_losses_are_told(folder, tmp_path, invert, capsys):
    invert(folder, tmp_path / "out", "--format=jpg")
    assert (
        "deep.jpg: written without the alpha channel and 16-bit depth, which"
        in capsys.readouterr().err
    )
    assert Image.open(tmp_path / "out" / "grey.jpg").mode == "L"


def test_the_loss_of_exif_is_told(tmp_path, invert, capsys):
    tags = Image.Exif()
    tags[0x010F] = "Maker"
    Image.fromarray(draw(8, 8, 3)).save(tmp_path / "a.jpg", exif=tags)
    invert(tmp_path / "a.jpg", tmp_path / "a.tif")
    assert "a.tif: written without EXIF, which .png keeps" in capsys.readouterr().err


def test_the_loss_of_a_profile_is_told(tmp_path, invert, profile, capsys):
    colour = image_io.Photograph(draw(8, 8, 3), profile=profile)
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
