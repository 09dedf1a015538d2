"""Chunks of PNG files are kept, and none of them changes how the pixels are read."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from msdi_jax.restoration import image_io
from msdi_jax.restoration.image_io import png
from tests.restoration.pictures import HEIGHT, WIDTH, colour_profile, draw, write_png

HDR = {b"cICP": bytes([9, 16, 0, 1]), b"mDCV": bytes(24), b"cLLI": bytes(8)}
LINEAR = {b"gAMA": struct.pack(">I", 100000), b"cHRM": struct.pack(">8I", *range(1, 9))}


def write(path, values, chunks):
    """A PNG with further chunks behind its header."""
    write_png(path, values)
    plain = path.read_bytes()
    added = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(plain[:33] + added + plain[33:])


def copy(folder, suffix=".png"):
    """Read `folder`/a.png, write it again and return the photograph."""
    photograph = image_io.read_photograph(folder / "a.png")
    image_io.write_photograph(folder / f"b{suffix}", photograph)
    return photograph


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "colour", [HDR, LINEAR, {b"sRGB": b"\0", b"gAMA": struct.pack(">I", 45455)}]
)
def test_descriptions_of_colours_are_kept(tmp_path, dtype, colour):
    write(tmp_path / "a.png", draw(HEIGHT, WIDTH, 3, dtype=dtype), colour.items())
    copy(tmp_path)
    found = dict(png.chunks(tmp_path / "b.png"))
    assert {kind: found.get(kind) for kind in colour} == colour
    kinds = [kind for kind, _ in png.chunks(tmp_path / "b.png")]
    assert kinds == [b"IHDR", *[kind for kind in png.COLOUR if kind in colour], b"IEND"]


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize(
    ("colour", "names"),
    [(HDR, "(cICP, mDCV, cLLI)"), (LINEAR, "(gAMA, cHRM)"), ({b"sRGB": b"\0"}, None)],
)
def test_descriptions_of_colours_that_are_lost_are_reported(tmp_path, suffix, colour, names):
    write(tmp_path / "a.png", draw(HEIGHT, WIDTH, 3), colour.items())
    message = image_io.losses(tmp_path / f"b{suffix}", copy(tmp_path, suffix))
    expected = f"written without the description of its colours {names}, which .png keeps"
    assert message == (expected if names else "")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_is_transparency(tmp_path, dtype, channels):
    values = draw(HEIGHT, WIDTH, channels, dtype=dtype)
    key = values[1, 2]
    write(tmp_path / "a.png", values, [(b"tRNS", key.astype(">u2").tobytes())])
    found = image_io.read_photograph(tmp_path / "a.png")
    assert found.rgb.dtype == dtype
    assert found.grey == (channels == 1)
    expected = np.where((values == key).all(axis=2), 0, np.iinfo(dtype).max)
    np.testing.assert_array_equal(found.alpha, expected)
    np.testing.assert_array_equal(found.rgb[..., :channels], values)


TEXTS = [
    (b"tEXt", b"Title\0a title"),
    (b"zTXt", b"Author\0\0" + zlib.compress(b"somebody")),
    (b"iTXt", b"Description\0\0\0de\0Beschreibung\0" + "Bäume".encode()),
]


def test_text_is_kept_as_it_is(tmp_path):
    write(tmp_path / "a.png", draw(HEIGHT, WIDTH, 3), TEXTS)
    photograph = copy(tmp_path)
    found = [chunk for chunk in png.chunks(tmp_path / "b.png") if chunk[0] in png.TEXT]
    assert found == TEXTS
    assert "the PNG's text" in image_io.losses(tmp_path / "b.jpg", photograph)


@pytest.mark.parametrize("compressed", [False, True])
def test_xmp_is_carried_to_other_formats(tmp_path, compressed):
    packet = b"<x:xmpmeta>rated</x:xmpmeta>"
    value = zlib.compress(packet) if compressed else packet
    chunk = b"XML:com.adobe.xmp\0" + bytes([compressed]) + b"\0\0\0" + value
    write(tmp_path / "a.png", draw(HEIGHT, WIDTH, 3), [(b"iTXt", chunk)])
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        assert not image_io.losses(tmp_path / f"b{suffix}", copy(tmp_path, suffix))
        with Image.open(tmp_path / f"b{suffix}") as written:
            assert written.info["xmp"] == packet


def test_exif_that_imagemagick_wrote_turns_once(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6
    lines = tags.tobytes().hex()
    raw = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n      32\n" + lines.encode())
    values = draw(HEIGHT, WIDTH, 3)
    write(tmp_path / "a.png", values, [(b"zTXt", raw)])
    assert image_io.read_size(tmp_path / "a.png") == (WIDTH, HEIGHT)
    copy(tmp_path)
    for name in ("a", "b"):
        found = image_io.read_photograph(tmp_path / f"{name}.png").rgb
        np.testing.assert_array_equal(found, np.rot90(values, -1))


def test_tags_at_the_end_are_found(tmp_path):
    """Some writers put EXIF behind the pixels."""
    tags = Image.Exif()
    tags[0x0112] = 8
    content = b"eXIf" + tags.tobytes()[6:]
    write_png(tmp_path / "a.png", draw(HEIGHT, WIDTH, 3))
    plain = (tmp_path / "a.png").read_bytes()
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    (tmp_path / "a.png").write_bytes(plain[:-12] + chunk + plain[-12:])
    assert image_io.read_size(tmp_path / "a.png") == (WIDTH, HEIGHT)
    assert image_io.read_photograph(tmp_path / "a.png").rgb.shape == (WIDTH, HEIGHT, 3)


def test_no_warning_of_libpng_reaches_the_screen(tmp_path, capfd):
    """Profiles of many programs have small faults, which libpng prints."""
    profile = bytearray(colour_profile())
    profile[68:80] = bytes(12)
    with Image.fromarray(draw(HEIGHT, WIDTH, 3)) as picture:
        picture.save(tmp_path / "a.png", icc_profile=bytes(profile))
    assert image_io.read_photograph(tmp_path / "a.png").metadata.profile == bytes(profile)
    assert capfd.readouterr().err == ""
