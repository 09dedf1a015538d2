"""TIFF of every kind."""

import contextlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from msdi_jax.restoration import image_io
from tests.restoration.pictures import HEIGHT, WIDTH, colour_profile, draw

RGB = draw(HEIGHT, WIDTH, 3, dtype=np.uint16)


def test_16_bits_of_a_large_tiff_are_kept(tmp_path):
    """BigTIFF, as writers of large files choose: another number in its head."""
    values = draw(HEIGHT, WIDTH, 3, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, bigtiff=True, photometric="rgb")
    np.testing.assert_array_equal(image_io.read_photograph(tmp_path / "a.tif").rgb, values)


def test_float_images_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif .* values of type float32: save it as 8 or"):
        image_io.read_photograph(tmp_path / "a.tif")


def write(path, values, **options):
    tifffile.imwrite(path, values, **{"photometric": "rgb", "metadata": None} | options)


def read(path):
    return image_io.read_photograph(path)


def test_a_small_picture_first_is_refused(tmp_path):
    write(tmp_path / "a.tif", RGB, subfiletype=1)
    message = r"a\.tif cannot .* small picture of the photograph first.*: save it as a PNG"
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd"])
def test_every_container_and_compression(tmp_path, dtype, byteorder, bigtiff, compression):
    values = draw(HEIGHT, WIDTH, 3, dtype=dtype)
    options = {"byteorder": byteorder, "bigtiff": bigtiff, "compression": compression}
    write(tmp_path / "a.tif", values, **options)
    found = read(tmp_path / "a.tif")
    assert found.rgb.dtype == dtype
    np.testing.assert_array_equal(found.rgb, values)
    assert image_io.read_size(tmp_path / "a.tif") == (HEIGHT, WIDTH)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planes_of_their_own(tmp_path, dtype):
    values = draw(HEIGHT, WIDTH, 3, dtype=dtype)
    write(tmp_path / "a.tif", values.transpose(2, 0, 1), planarconfig="separate")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").rgb, values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_0_for_white(tmp_path, dtype):
    values = draw(HEIGHT, WIDTH, dtype=dtype)
    write(tmp_path / "a.tif", values, photometric="miniswhite")
    found = read(tmp_path / "a.tif")
    assert found.grey
    np.testing.assert_array_equal(found.rgb[..., 0], np.iinfo(dtype).max - values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_multiplied_by_alpha_are_divided(tmp_path, dtype):
    most = np.iinfo(dtype).max
    alpha = draw(HEIGHT, WIDTH, 1, dtype=dtype) // 2 + most // 2
    rgb = draw(HEIGHT, WIDTH, 3, dtype=dtype)
    multiplied = np.round(rgb * (alpha / most)).astype(dtype)
    write(tmp_path / "a.tif", np.dstack([multiplied, alpha]), extrasamples=["assocalpha"])
    found = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.alpha, alpha[..., 0])
    np.testing.assert_allclose(found.rgb, rgb.astype(int), atol=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize(
    ("extras", "lost", "transparent"),
    [
        (["unspecified"], "1 extra channel", False),
        (["unspecified"] * 2, "2 extra channels", False),
        (["unassalpha"], None, True),
        (["unspecified", "unassalpha"], "1 extra channel", True),
    ],
)
def test_only_what_is_called_alpha_is_alpha(tmp_path, dtype, colours, extras, lost, transparent):
    values = draw(HEIGHT, WIDTH, colours + len(extras), dtype=dtype)
    kind = "rgb" if colours == 3 else "minisblack"
    write(tmp_path / "a.tif", values, photometric=kind, extrasamples=extras, planarconfig="contig")
    found = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.rgb[..., :colours], values[..., :colours])
    assert found.grey == (colours == 1)
    assert found.left_out == ((lost,) if lost else ())
    if transparent:
        np.testing.assert_array_equal(found.alpha, values[..., -1])
    else:
        assert found.alpha is None


def test_12_bits_fill_the_range(tmp_path):
    values = np.array([[0, 1, 2048, 4095]], np.uint16)
    write(tmp_path / "a.tif", values, photometric="minisblack", bitspersample=12)
    found = read(tmp_path / "a.tif").rgb[0, :, 0]
    assert found.tolist() == [0, 16, 32776, 65535]


@pytest.mark.parametrize("kind", ["separated", "cielab"])
def test_16_bit_colours_of_other_kinds_are_refused_as_such(tmp_path, kind):
    values = draw(HEIGHT, WIDTH, 4 if kind == "separated" else 3, dtype=np.uint16)
    write(tmp_path / "a.tif", values, photometric=kind)
    message = rf"a\.tif .* colours of the kind {kind.upper()} in 16 bits: convert it to RGB"
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a.tif")


def test_a_truncated_file_is_refused(tmp_path):
    write(tmp_path / "whole.tif", RGB, compression="zlib")
    values = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(values[:-20])
    with pytest.raises(ValueError, match=r"a\.tif .* truncated: its last 20 bytes are missing"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_all_tags_survive(tmp_path, dtype):
    tags = Image.Exif()
    tags[0x010F], tags[0x0131] = "Maker", "Editor"
    tags.get_ifd(0x8769)[0x9003] = "2026:11:27 12:00:00"
    tags.get_ifd(0x8825)[1] = "N"
    metadata = image_io.Metadata(
        colour_profile(), tags.tobytes(), b"<x:xmpmeta/>", b"\x1c\x02\x78\0\2hi", dpi=(300.0, 72.0)
    )
    image_io.write_photograph(
        tmp_path / "a.tif", image_io.Photograph(RGB.astype(dtype), metadata=metadata)
    )
    found = read(tmp_path / "a.tif").metadata
    for field in ("profile", "xmp", "iptc", "dpi"):
        assert getattr(found, field) == getattr(metadata, field)
    with Image.open(tmp_path / "a.tif") as written:
        noted = written.getexif()
        assert (noted[0x010F], noted[0x0131]) == ("Maker", "Editor")
        assert noted.get_ifd(0x8769)[0x9003] == "2026:11:27 12:00:00"
        assert noted.get_ifd(0x8825)[1] == "N"
        if dtype == np.uint8:
            np.testing.assert_array_equal(np.asarray(written), RGB.astype(dtype))
    raw = cv2.imread(str(tmp_path / "a.tif"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(raw[..., ::-1], RGB.astype(dtype))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(("second", "refused"), [({}, True), ({"subfiletype": 1}, False)])
def test_further_pages_are_refused_but_small_versions_are_not(tmp_path, kind, second, refused):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for options in ({}, second):
            file.write(RGB.astype(kind), photometric="rgb", **options)
    refusal = pytest.raises(ValueError, match=r"a\.tif .* 2 pages: save each as a picture")
    with refusal if refused else contextlib.nullcontext():
        assert np.array_equal(image_io.read_photograph(tmp_path / "a.tif").rgb, RGB.astype(kind))


@pytest.mark.parametrize("length", [4, 8, 200])
def test_a_file_without_its_directory_is_refused_as_damaged(tmp_path, length):
    write(tmp_path / "whole.tif", RGB)
    # Its directory is at the end, as many programs write it.
    whole = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:4] + (10**6).to_bytes(4, "little") + whole[8:length])
    with pytest.raises(ValueError, match=r"a\.tif cannot be read as an image: \w+ \w+"):
        read(tmp_path / "a.tif")
