"""EXIF is applied to the pixels, then kept without what no longer holds."""

import dataclasses
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from msdi_jax.restoration import image_io
from msdi_jax.restoration.image_io import exif
from tests.restoration.pictures import HEIGHT, WIDTH, draw, write_png


def test_16_bit_png_is_turned_upright(tmp_path):
    values = draw(HEIGHT, WIDTH, 3, dtype=np.uint16)
    tag = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    write_png(tmp_path / "a.png", values)
    plain = (tmp_path / "a.png").read_bytes()
    chunk = struct.pack(">I", len(tag)) + b"eXIf" + tag
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + tag))
    (tmp_path / "a.png").write_bytes(plain[:33] + chunk + plain[33:])
    np.testing.assert_array_equal(
        image_io.read_photograph(tmp_path / "a.png").rgb, np.rot90(values, -1)
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_exif_that_cannot_be_written_again_is_reported(tmp_path, suffix, monkeypatch):
    with Image.fromarray(draw(HEIGHT, WIDTH, 3)) as picture:
        tags = picture.getexif()
        tags[0x010F] = "Maker"
        picture.save(tmp_path / f"a{suffix}", exif=tags)

    def fail(self):
        raise struct.error("argument out of range")

    monkeypatch.setattr(Image.Exif, "tobytes", fail)
    photograph = image_io.read_photograph(tmp_path / f"a{suffix}")
    assert photograph.metadata.exif is None
    assert image_io.losses(tmp_path / "b.png", photograph) == "written without unusual EXIF"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_what_the_camera_noted_is_kept_but_for_the_orientation(tmp_path, dtype, suffix):
    with Image.fromarray(draw(HEIGHT, WIDTH, 3)) as picture:
        tags = picture.getexif()
        tags[exif.ORIENTATION], tags[0x010F] = 6, "Maker"
        tags.get_ifd(0x8769)[0x9003] = "2026:11:27 12:00:00"
        tags.get_ifd(0x8769).update({0xA002: WIDTH, 0xA003: HEIGHT})
        picture.save(tmp_path / "a.jpg", exif=tags)
    found = image_io.read_photograph(tmp_path / "a.jpg")
    assert found.rgb.shape == (WIDTH, HEIGHT, 3)
    deep = dataclasses.replace(found, rgb=found.rgb.astype(dtype))
    image_io.write_photograph(tmp_path / f"b{suffix}", deep)
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert written.size == (HEIGHT, WIDTH)
        tags = written.getexif()
        assert exif.ORIENTATION not in tags
        assert tags[0x010F] == "Maker"
        assert tags.get_ifd(0x8769)[0x9003] == "2026:11:27 12:00:00"
        # The sides of the upright picture.
        assert tags.get_ifd(0x8769)[0xA002] == HEIGHT
        assert tags.get_ifd(0x8769)[0xA003] == WIDTH
    again = image_io.read_photograph(tmp_path / f"b{suffix}")
    assert again.metadata.exif


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_noted_in_a_tiff_is_kept_but_for_where_its_pixels_lie(tmp_path, dtype):
    tags = Image.Exif()
    tags[exif.ORIENTATION], tags[0x010F] = 6, "Maker"
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
    assert not {exif.ORIENTATION, 0x0100, 0x0111} & set(tags)
    if dtype == np.uint8:
        assert tags.get_ifd(0x8769)[0x9003] == "2026:11:27 12:00:00"


@pytest.mark.parametrize(
    "form", [b'tiff:Orientation="6"', b"<tiff:Orientation>6</tiff:Orientation>"]
)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_an_orientation_in_xmp_turns_once(tmp_path, form, suffix):
    xmp = b"<x:xmpmeta>" + form + b"</x:xmpmeta>"
    sideways = image_io.Photograph(draw(HEIGHT, WIDTH, 3), metadata=image_io.Metadata(xmp=xmp))
    image_io.write_photograph(tmp_path / f"a{suffix}", sideways)
    assert image_io.read_size(tmp_path / f"a{suffix}") == (WIDTH, HEIGHT)
    found = image_io.read_photograph(tmp_path / f"a{suffix}")
    assert found.rgb.shape == (WIDTH, HEIGHT, 3)
    image_io.write_photograph(tmp_path / f"b{suffix}", found)
    assert image_io.read_photograph(tmp_path / f"b{suffix}").rgb.shape == (WIDTH, HEIGHT, 3)
