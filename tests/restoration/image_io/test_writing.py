"""Every format keeps what it can, and a target is whole or untouched."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from msdi_jax.restoration import image_io
from tests.restoration.pictures import HEIGHT, WIDTH, colour_profile, draw


@pytest.fixture
def photograph():
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


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

    def full_disk(self, content):
        with self.open("wb") as file:
            file.write(content[:20])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        image_io.write(target, 255 - photograph)
    assert list(tmp_path.iterdir()) == [target]
    np.testing.assert_array_equal(image_io.read(target), photograph)


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


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_profile_is_kept(tmp_path, dtype, suffix, alpha):
    profile = colour_profile()
    rgb = draw(HEIGHT, WIDTH, 3, dtype=dtype)
    opacity = draw(HEIGHT, WIDTH, 1, dtype=dtype)[..., 0] if alpha else None
    path = tmp_path / f"a{suffix}"
    image_io.write_photograph(
        path, image_io.Photograph(rgb, opacity, metadata=image_io.Metadata(profile))
    )
    found = image_io.read_photograph(path)
    assert found.metadata.profile == profile
    np.testing.assert_array_equal(found.rgb, rgb)
    assert alpha == (found.alpha is not None)
    if alpha:
        np.testing.assert_array_equal(found.alpha, opacity)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("space", ["RGB ", "GRAY"])
@pytest.mark.parametrize("grey", [False, True])
def test_a_profile_fits_the_channels_that_are_written(tmp_path, dtype, suffix, space, grey):
    """Grey with a profile of colours becomes colours; a profile of grey leaves colours."""
    profile = bytearray(colour_profile())
    profile[16:20] = space.encode()
    rgb = draw(HEIGHT, WIDTH, 1, dtype=dtype).repeat(3, axis=2)
    written = image_io.Photograph(rgb, grey=grey, metadata=image_io.Metadata(bytes(profile)))
    path = tmp_path / f"a{suffix}"
    image_io.write_photograph(path, written)
    with Image.open(path) as found:
        channels = 1 if found.mode in ("L", "I;16") else 3
        kept = found.info.get("icc_profile")
    assert channels == (1 if grey and space == "GRAY" and suffix != ".webp" else 3)
    assert (kept is not None) == (space == ("GRAY" if channels == 1 else "RGB "))
    assert ("the colour profile" in image_io.losses(path, written)) == (kept is None)


@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_a_jpeg_keeps_its_chroma_subsampling(tmp_path, sampling):
    Image.fromarray(draw(32, 32, 3)).save(tmp_path / "a.jpg", subsampling=sampling)
    image_io.write_photograph(tmp_path / "b.jpg", image_io.read_photograph(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "b.jpg") as written:
        assert JpegImagePlugin.get_sampling(written) == sampling


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".bmp"])
def test_a_jpeg_of_anything_else_has_full_chroma(tmp_path, suffix):
    image_io.write(tmp_path / f"a{suffix}", draw(32, 32, 3))
    photograph = image_io.read_photograph(tmp_path / f"a{suffix}")
    image_io.write_photograph(tmp_path / "b.jpg", photograph)
    with Image.open(tmp_path / "b.jpg") as written:
        assert JpegImagePlugin.get_sampling(written) == 0


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_without_loss_stays_so(tmp_path, lossless, alpha):
    """With colours under full transparency, and also behind a long profile."""
    values = draw(32, 32, 4 if alpha else 3)
    options = {"lossless": lossless, "exact": True, "icc_profile": bytes(70_000)}
    Image.fromarray(values).save(tmp_path / "a.webp", **options)
    photograph = image_io.read_photograph(tmp_path / "a.webp")
    image_io.write_photograph(tmp_path / "b.webp", photograph)
    found = image_io.read_photograph(tmp_path / "b.webp")
    assert (b"VP8L" in (tmp_path / "b.webp").read_bytes()) == lossless
    assert np.array_equal(found.rgb, photograph.rgb) == lossless


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_resolution_comment_and_iptc(tmp_path, suffix):
    records = b"\x1c\x02\x78\0\5words"
    metadata = image_io.Metadata(iptc=records, comment=b"a note", dpi=(300, 300))
    photograph = image_io.Photograph(draw(HEIGHT, WIDTH, 3), metadata=metadata)
    image_io.write_photograph(tmp_path / f"a{suffix}", photograph)
    found = image_io.read_photograph(tmp_path / f"a{suffix}").metadata
    np.testing.assert_allclose(found.dpi, 300, atol=0.01)
    if suffix == ".jpg":
        assert (found.iptc, found.comment) == (records, b"a note")
    else:
        with Image.open(tmp_path / "a.png") as written:
            assert written.info["Comment"] == "a note"
        message = image_io.losses(tmp_path / "a.png", photograph)
        assert message == "written without IPTC"


@pytest.mark.parametrize(
    ("suffix", "size"), [(".webp", (16384, 1)), (".jpg", (2, 65501)), (".JPEG", (65501, 1))]
)
def test_what_a_format_has_no_room_for_is_refused(tmp_path, suffix, size):
    path = tmp_path / f"a{suffix}"
    for attempt in (
        lambda: image_io.check_fits(path, *size),
        lambda: image_io.write(path, np.zeros((*size, 3), np.uint8)),
    ):
        with pytest.raises(ValueError, match=rf"a{suffix} cannot hold .* pixels: .*choose \.png"):
            attempt()
    image_io.check_fits(path, 16383, 16383)
    assert not any(tmp_path.iterdir())


def test_a_link_is_followed(tmp_path, photograph):
    (tmp_path / "real").mkdir()
    (tmp_path / "a.png").symlink_to(tmp_path / "real" / "b.png")
    for _ in range(2):  # once before the target exists
        image_io.write(tmp_path / "a.png", photograph)
        assert (tmp_path / "a.png").is_symlink()
        np.testing.assert_array_equal(image_io.read(tmp_path / "real" / "b.png"), photograph)
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["b.png"]


def test_a_read_only_file_is_not_replaced(tmp_path, photograph):
    image_io.write(tmp_path / "a.png", photograph)
    (tmp_path / "a.png").chmod(0o444)
    with pytest.raises(ValueError, match=r"a\.png is read-only: make it writable"):
        image_io.write(tmp_path / "a.png", 255 - photograph)
    np.testing.assert_array_equal(image_io.read(tmp_path / "a.png"), photograph)


def test_metadata_too_long_for_a_jpeg_is_reported(tmp_path):
    metadata = image_io.Metadata(exif=b"Exif\0\0" + bytes(70_000), xmp=bytes(70_000))
    photograph = image_io.Photograph(draw(HEIGHT, WIDTH, 3), metadata=metadata)
    path = tmp_path / "a.jpg"
    image_io.write_photograph(path, photograph)
    assert image_io.losses(path, photograph) == "written without EXIF and XMP, which .png keeps"
