import hashlib

import numpy as np
import pytest
from PIL import Image

from msdi_jax.data import photographs
from msdi_jax.restoration import image_io


def write(path, value=0, size=(40, 30), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 10, 20)).save(path, **options)
    return path


def names(split):
    return [photo.name for photo in split]


def test_embedded_photographs():
    split = photographs.embedded()
    assert len(split.train) == 3
    assert len(split.test) == 2
    assert not set(names(split.train)) & set(names(split.test))
    sizes = {photo.name: photo.read().shape for photo in split.train + split.test}
    # As scikit-image documents them.
    assert sizes["astronaut"] == (512, 512, 3)
    assert sizes["coffee"] == (400, 600, 3)
    assert sizes["chelsea"] == (300, 451, 3)
    assert sizes["stereo_motorcycle"] == (500, 741, 3)
    assert all(photo.author and photo.licence for photo in split.train + split.test)


def test_a_folder_is_split_by_the_hash_of_the_names(tmp_path):
    for index in range(40):
        write(tmp_path / "deep" / f"{index:02d}.png", index)
    split = photographs.from_folder(tmp_path)

    def low(name):
        return int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) / 2**64 < 0.2

    everything = [f"deep/{index:02d}.png" for index in range(40)]
    assert names(split.test) == [name for name in everything if low(name)]
    assert names(split.train) == [name for name in everything if not low(name)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_both_sides_hold_a_photograph(tmp_path, count):
    for index in range(count):
        write(tmp_path / f"{index}.jpg", 40 * index)
    split = photographs.from_folder(tmp_path)
    assert split.train
    assert split.test


def test_the_same_bytes_never_lie_on_both_sides(tmp_path):
    for index in range(8):
        for copy in range(6):
            write(tmp_path / f"{index}_{copy}.png", index)
    split = photographs.from_folder(tmp_path)
    assert len(split.train) + len(split.test) == 48
    train, test = ({photo.digest() for photo in side} for side in (split.train, split.test))
    assert not train & test


def test_a_folder_may_be_split_already(tmp_path):
    for part, index in (("train", 0), ("train", 1), ("test", 2)):
        write(tmp_path / part / f"{index}.png", index)
    split = photographs.from_folder(tmp_path)
    assert names(split.train) == ["train/0.png", "train/1.png"]
    assert names(split.test) == ["test/2.png"]
    write(tmp_path / "test" / "copy.png", 0)
    with pytest.raises(ValueError, match=r"test/copy\.png and train/0\.png are the same"):
        photographs.from_folder(tmp_path)


def test_orientation_and_colours(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene lies at the right
    photo = photographs.Photograph("a", write(tmp_path / "a.jpg", exif=exif))
    assert photo.read().shape == (40, 30, 3)
    assert photo.size() == (40, 30)
    photo = photographs.Photograph("a", write(tmp_path / "a.tif", exif=exif))
    assert photo.size() == photo.read().shape[:2] == (40, 30)
    Image.new("RGBA", (9, 7), (1, 2, 3, 128)).save(tmp_path / "b.png")
    assert photographs.Photograph("b", tmp_path / "b.png").read()[0, 0].tolist() == [1, 2, 3]
    Image.fromarray(np.full((7, 9), 0x8040, np.uint16)).save(tmp_path / "c.png")
    assert photographs.Photograph("c", tmp_path / "c.png").read()[0, 0].tolist() == [0x80] * 3


def test_all_unreadable_files_are_listed(tmp_path):
    whole = write(tmp_path / "whole.png", size=(300, 300))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "._whole.jpg").write_text("a hidden file of macOS")
    with pytest.raises(ValueError, match="2 images cannot be read") as error:
        photographs.from_folder(tmp_path)
    assert "cut.png" in str(error.value)
    assert "text.jpg" in str(error.value)


def test_values_that_are_not_integers_are_refused(tmp_path):
    """They would all become 0."""
    write(tmp_path / "whole.png", size=(30, 30))
    Image.fromarray(np.full((30, 30), 0.5, np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ValueError, match=r"float.tif: its values are not integers: save it as 8"):
        photographs.from_folder(tmp_path)


def test_useless_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        photographs.from_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"0 different photographs .* at least 2"):
        photographs.from_folder(tmp_path)
    write(tmp_path / "a.png")
    write(tmp_path / "b.png")
    with pytest.raises(ValueError, match="1 different photographs"):
        photographs.from_folder(tmp_path)


@pytest.mark.parametrize(
    "below", [photographs.images_below, image_io.below], ids=["data", "package"]
)
def test_links_are_followed_and_hidden_files_are_left_out(tmp_path, below):
    folder = tmp_path / "folder"
    files = [write(folder / name) for name in ("a.png", "sub/b.BMP")]
    for name in ("._a.png", ".thumbnails/a.png", "sub/.ipynb_checkpoints/b.png", "a.txt"):
        write(folder / name, format="PNG")
    write(tmp_path / ".elsewhere" / "c.png")
    (folder / "linked").symlink_to(tmp_path / ".elsewhere")
    # Links to folders that contain them.
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "here").symlink_to(".")
    assert below(folder) == [files[0], folder / "linked" / "c.png", files[1]]
    assert below(tmp_path / "nowhere") == []


def test_no_folder_means_the_embedded_ones():
    assert (
        photographs.find_photographs("")
        == photographs.find_photographs(None)
        == photographs.embedded()
    )
