import contextlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from msdi_jax.restoration import image_io
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

RGB = draw(HEIGHT, WIDTH, 3, dtype=np.uint16)


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


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".tiff"])
def test_lossless_round_trip(tmp_path, photograph, suffix):
    path = tmp_path / f"{'a' * (255 - len(suffix))}{suffix}"  # the longest name allowed
    image_io.write(path, photograph)
    np.testing.assert_array_equal(image_io.read(path), photograph)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_round_trip_is_close(tmp_path, suffix):
    ramp = np.broadcast_to(np.arange(64, 192, 4, dtype=np.uint8)[:, None, None], (32, 32, 3))
    image_io.write(str(tmp_path / f"a{suffix}"), np.ascontiguousarray(ramp))
    found = image_io.read(tmp_path / f"a{suffix}").astype(int)
    assert np.abs(found - ramp).max() <= 3


@pytest.mark.parametrize("name", ["a", "a.gif", "a.png.txt"])
def test_unknown_suffix_is_refused(tmp_path, photograph, name):
    for attempt in (image_io.check_writable, lambda p: image_io.write(p, photograph)):
        with pytest.raises(ValueError, match=rf"{name}: the name must end in one of \.png"):
            attempt(tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_folder_is_no_file_to_write(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ValueError, match=r"a\.png is a folder: name the file to write"):
        image_io.check_writable(tmp_path / "a.png")


def test_missing_folder_is_refused(tmp_path, photograph, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image_io.check_writable("a.png")
    with pytest.raises(ValueError, match=r"gone/a\.png: the folder .*gone does not exist"):
        image_io.check_writable("gone/a.png")
    with pytest.raises(ValueError, match="does not exist, make it"):
        image_io.write(tmp_path / "gone" / "a.png", photograph)
    assert not any(tmp_path.iterdir())


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, photograph, monkeypatch):
    target = tmp_path / "a.png"
    image_io.write(target, photograph)

    def full_disk(self, file, **options):
        file.write_bytes(b"half an image")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        image_io.write(target, 255 - photograph)
    assert list(tmp_path.iterdir()) == [target]
    np.testing.assert_array_equal(image_io.read(target), photograph)


def test_to_uint8_clips_and_rounds():
    """Halves go to the even neighbour, as in NumPy and PyTorch."""
    x = np.array([-0.2, 0, 0.4 / 255, 0.6 / 255, 1.5 / 255, 2.5 / 255, 254.6 / 255, 1, 7])
    found = image_io.to_uint8(x)
    assert found.dtype == np.uint8
    assert found.tolist() == [0, 0, 0, 1, 2, 2, 255, 255, 255]


def test_every_level_survives_the_unit_range():
    levels = np.arange(256, dtype=np.uint8)
    unit = image_io.to_unit(levels)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, np.arange(256) / 255, rtol=1e-7)
    np.testing.assert_array_equal(image_io.to_uint8(unit), levels)


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
def test_round_trip_of_every_kind(tmp_path, suffix, dtype, alpha, grey):
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


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_profile_is_kept(tmp_path, dtype, suffix, alpha):
    profile = colour_profile()
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


def test_a_profile_of_colours_keeps_grey_in_colours(tmp_path):
    grey = draw(HEIGHT, WIDTH, 1, dtype=np.uint16).repeat(3, axis=2)
    image_io.write_photograph(
        tmp_path / "a.png", image_io.Photograph(grey, profile=colour_profile())
    )
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


@pytest.mark.parametrize(
    ("values", "options", "message"),
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
def test_tiff_that_would_be_read_as_something_else_is_refused(tmp_path, values, options, message):
    tifffile.imwrite(tmp_path / "a.tif", values, **{"photometric": "rgb"} | options)
    with pytest.raises(ValueError, match=rf"a\.tif has .*{message}.*: save it as a PNG"):
        image_io.read_photograph(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(("second", "refused"), [({}, True), ({"subfiletype": 1}, False)])
def test_further_pages_are_refused_but_small_versions_are_not(tmp_path, kind, second, refused):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for options in ({}, second):
            file.write(RGB.astype(kind), photometric="rgb", **options)
    refusal = pytest.raises(ValueError, match=r"a\.tif has 2 pages: save each as a picture")
    with refusal if refused else contextlib.nullcontext():
        assert np.array_equal(image_io.read_photograph(tmp_path / "a.tif").rgb, RGB.astype(kind))


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
    assert found.profile is None
