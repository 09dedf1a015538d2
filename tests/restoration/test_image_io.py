import numpy as np
import pytest
from PIL import Image

from msdi_jax.restoration import image_io

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
