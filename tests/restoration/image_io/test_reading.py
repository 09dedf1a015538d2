"""What a file is, its first bytes decide."""

import os
import re
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms

from msdi_jax.restoration import image_io
from msdi_jax.restoration.image_io import exif
from tests.restoration.pictures import HEIGHT, WIDTH, colour_profile, draw, write_png

# What the eight EXIF orientations ask of a viewer.
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


@pytest.fixture
def photograph():
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_photographs_are_turned_upright(tmp_path, photograph, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photograph).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        image_io.read(tmp_path / "a.png"), UPRIGHT[orientation](photograph)
    )


def test_grey_is_repeated(tmp_path, photograph):
    grey = photograph[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(image_io.read(tmp_path / "a.png"), np.stack([grey] * 3, axis=-1))


def test_alpha_is_dropped(tmp_path, photograph):
    alpha = np.arange(35, dtype=np.uint8).reshape(5, 7, 1)
    Image.fromarray(np.concatenate([photograph, alpha], axis=-1)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(image_io.read(tmp_path / "a.png"), photograph)


def test_palette_is_looked_up(tmp_path, photograph):
    palette = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7), mode="P")
    palette.putpalette(photograph.tobytes())
    palette.save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == "P"
    np.testing.assert_array_equal(image_io.read(tmp_path / "a.png"), photograph)


def test_black_and_white(tmp_path):
    bits = np.array([[True, False, True]])
    Image.fromarray(bits).save(tmp_path / "a.png")
    expected = np.repeat(bits[..., None], 3, axis=-1) * np.uint8(255)
    np.testing.assert_array_equal(image_io.read(tmp_path / "a.png"), expected)


def unreadable(folder, photograph):
    Image.fromarray(photograph).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    (folder / "text.png").write_text("not an image\n")
    (folder / "empty.png").write_bytes(b"")
    (folder / "truncated.png").write_bytes(whole[: len(whole) - 60])
    (folder / "header.png").write_bytes(whole[:20])
    (folder / "folder.png").mkdir()


@pytest.mark.parametrize("name", ["text", "empty", "truncated", "header", "folder"])
def test_what_is_no_image_is_refused_by_name(tmp_path, photograph, name):
    unreadable(tmp_path, photograph)
    with pytest.raises(ValueError, match=rf"{name}\.png cannot be read as an image"):
        image_io.read(tmp_path / f"{name}.png")


def test_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.png does not exist"):
        image_io.read(str(tmp_path / "gone.png"))


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


@pytest.mark.parametrize("suffix", [".png", ".webp", ".gif"])
def test_animations_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(draw(8, 8, 3)), Image.fromarray(draw(8, 8, 3)[::-1])]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="is an animation"):
        image_io.read_photograph(path)


def test_a_profile_of_other_colours_is_dropped(tmp_path):
    lab = ImageCms.createProfile("LAB")
    picture = Image.fromarray(draw(8, 8, 3))
    ImageCms.profileToProfile(picture, ImageCms.createProfile("sRGB"), lab, outputMode="LAB").save(
        tmp_path / "a.tif", icc_profile=colour_profile()
    )
    found = image_io.read_photograph(tmp_path / "a.tif")
    assert found.metadata.profile is None
    assert found.left_out == ("LAB colours (converted to RGB)",)


ENDINGS = [".png", ".jpg", ".tif", ".webp", ".bmp", ".heic"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_the_ending_of_a_name_decides_nothing(tmp_path, ending, kind):
    """Pixels, orientation and size are those of the same file under its own ending."""
    tags = Image.Exif()
    tags[0x0112] = 6
    with Image.fromarray(draw(HEIGHT, WIDTH, 3)) as picture:
        picture.save(tmp_path / f"a.{kind}", kind, exif=tags)
    (tmp_path / f"b{ending}").write_bytes((tmp_path / f"a.{kind}").read_bytes())
    right = image_io.read_photograph(tmp_path / f"a.{kind}")
    found = image_io.read_photograph(tmp_path / f"b{ending}")
    assert found.rgb.shape == (WIDTH, HEIGHT, 3)
    np.testing.assert_array_equal(found.rgb, right.rgb)
    assert image_io.read_size(tmp_path / f"b{ending}") == (WIDTH, HEIGHT)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_kept_whatever_the_ending(tmp_path, suffix, ending):
    values = draw(HEIGHT, WIDTH, 3, dtype=np.uint16)
    image_io.write_photograph(tmp_path / f"a{suffix}", image_io.Photograph(values))
    (tmp_path / f"b{ending}").write_bytes((tmp_path / f"a{suffix}").read_bytes())
    np.testing.assert_array_equal(image_io.read_photograph(tmp_path / f"b{ending}").rgb, values)


def test_slightly_truncated_jpegs_are_read_where_allowed(tmp_path):
    smooth = np.linspace(50, 200, 400).astype(np.uint8)[:, None, None].repeat(64, 1).repeat(3, 2)
    noisy = smooth + draw(400, 64, 3) % 32
    Image.fromarray(noisy).save(tmp_path / "whole.jpg", quality=95)
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: int(len(whole) * 0.97)])
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    found = image_io.read_photograph(tmp_path / "a.jpg", truncated=True)
    (warning,) = found.warnings
    assert re.search(r"a\.jpg is truncated: about \d of its 400 rows are missing", warning)
    expected = image_io.read(tmp_path / "whole.jpg")
    np.testing.assert_array_equal(found.rgb[:360], expected[:360])
    with pytest.raises(ValueError, match=r"a\.jpg cannot be read as an image: .*truncated"):
        image_io.read(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"half\.jpg .* truncated: \d\d\d of its 400 rows"):
        image_io.read_photograph(tmp_path / "half.jpg", truncated=True)


def test_more_pixels_than_the_memory_holds_are_refused(tmp_path, monkeypatch):
    """By the machine's memory, not by a limit of Pillow."""
    Image.fromarray(draw(HEIGHT, WIDTH, 3)).save(tmp_path / "a.png")
    monkeypatch.setattr(os, "sysconf", lambda name: 20)
    message = r"a\.png .* 7×5 pixels take at least .* GB, and this machine has 0.0 GB"
    with pytest.raises(ValueError, match=message):
        image_io.read_photograph(tmp_path / "a.png")
    assert Image.MAX_IMAGE_PIXELS is None


def test_further_pictures_of_a_jpeg_are_reported(tmp_path):
    """Depth and gain maps of telephones."""
    first, second = Image.fromarray(draw(16, 16, 3)), Image.fromarray(draw(8, 8, 3))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert image_io.read_photograph(tmp_path / "a.jpg").left_out == (
        "1 further picture(s) of the file",
    )


def test_avif_is_read(tmp_path):
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "Maker"
    smooth = np.linspace(0, 255, 64).astype(np.uint8)[:, None, None].repeat(32, 1).repeat(3, 2)
    Image.fromarray(smooth).save(tmp_path / "a.avif", exif=tags, quality=95)
    found = image_io.read_photograph(tmp_path / "a.avif")
    np.testing.assert_allclose(found.rgb, np.rot90(smooth, -1).astype(int), atol=6)
    assert exif.parse(found.metadata.exif)[0x010F] == "Maker"


@pytest.mark.parametrize(("package", "suffix"), [("pillow_heif", ".heic"), ("pillow_jxl", ".jxl")])
def test_heic_and_jpeg_xl_are_read_by_plugins(tmp_path, package, suffix):
    plugin = pytest.importorskip(package)
    if package == "pillow_heif":
        plugin.register_heif_opener()
    smooth = np.linspace(0, 255, 64).astype(np.uint8)[:, None, None].repeat(64, 1).repeat(3, 2)
    Image.fromarray(smooth).save(tmp_path / f"a{suffix}", quality=95)
    found = image_io.read_photograph(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(found.rgb, smooth.astype(int), atol=8)
    assert image_io.read_size(tmp_path / f"a{suffix}") == (64, 64)


@pytest.mark.parametrize(
    ("name", "start", "package"),
    [("a.heic", b"\0\0\0\x18ftypheic", "pillow_heif"), ("b.png", b"\xff\x0a", "pillow_jxl")],
)
def test_a_missing_plugin_is_named(tmp_path, monkeypatch, name, start, package):
    (tmp_path / name).write_bytes(start + bytes(20))
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{name} needs {package}: pip install 'msdi_jax\[heic\]'"
    with pytest.raises(ValueError, match=message):
        image_io.read_photograph(tmp_path / name)


def test_sizes_are_those_of_upright_images(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6
    for name in ("a.jpg", "a.png", "a.tif", "a.webp"):
        Image.fromarray(draw(12, 16, 3)).save(tmp_path / name, exif=tags)
        assert image_io.read_size(tmp_path / name) == (16, 12)
    Image.fromarray(draw(12, 16, 3)).save(tmp_path / "b.png")
    assert image_io.read_size(tmp_path / "b.png") == (12, 16)
