import cv2
import numpy as np
import pytest
from PIL import Image

from msdi_jax.evaluation import best_worst


def rows(count):
    """PSNR in a scrambled order: row i has (7 i) mod count."""
    return [
        {"name": f"r{i}", "photograph": "", "psnr_deblurred": float(7 * i % count)}
        for i in range(count)
    ]


@pytest.mark.parametrize(("count", "shown"), [(1, 0), (5, 2), (19, 9), (20, 10), (101, 10)])
def test_ten_of_each_and_none_twice(count, shown):
    images = rows(count)
    chosen = best_worst.choose_images(images)
    psnr = {row["name"]: row["psnr_deblurred"] for row in images}
    assert [psnr[name] for name in chosen["worst"]] == list(range(shown))
    assert [psnr[name] for name in chosen["best"]] == [count - 1 - i for i in range(shown)]


def picture(level, size=(12, 16)):
    return np.full((*size, 3), level, np.uint8)


def test_pictures_are_made_once_and_only_of_the_chosen(tmp_path):
    asked = []

    def pictures(index):
        asked.append(index)
        return {"deblurred": picture(90), "sharp": picture(100)}

    images = [row | {"name": f"scene/{row['name']}.png"} for row in rows(4)]
    chosen = best_worst.write_pictures(tmp_path / "shown", images, pictures)
    # (7 i) mod 4: 0, 3, 2, 1.
    assert chosen == {
        "worst": ["scene/r0.png", "scene/r3.png"],
        "best": ["scene/r1.png", "scene/r2.png"],
    }
    assert sorted(asked) == [0, 1, 2, 3]
    assert len(list((tmp_path / "shown").iterdir())) == 4 * 3
    with Image.open(
        best_worst.picture_path(tmp_path / "shown", "scene/r0.png", "deblurred")
    ) as image:
        assert np.abs(np.asarray(image).astype(int) - 90).max() <= 1
    asked.clear()
    best_worst.picture_path(tmp_path / "shown", "scene/r3.png", "error").unlink()
    assert best_worst.write_pictures(tmp_path / "shown", images, pictures) == chosen
    assert asked == [3]


def test_names_stay_apart():
    assert best_worst.file_stem("a/b") != best_worst.file_stem("a_b")
    assert best_worst.file_stem("a%2Fb") != best_worst.file_stem("a/b")
    assert best_worst.file_stem("写真 1") == "写真 1"
    long = ["写真" * 40 + letter for letter in "ab"]
    assert len({best_worst.file_stem(name) for name in long}) == 2
    assert all(len(best_worst.file_stem(name).encode()) <= best_worst.LONGEST_STEM for name in long)
    assert best_worst.file_stem("GOPR0384_11_00-000001") == "GOPR0384_11_00-000001"


def test_error_map():
    """Black for none, OpenCV's brightest from a quarter of the range on, half way at an eighth."""
    sharp = np.full((4, 4, 3), 100, np.uint8)
    restored = sharp.copy()
    restored[0, 0] = 164
    restored[1, 1] = 68
    restored[2, 2] = 0
    levels = np.arange(256, dtype=np.uint8)[:, None]
    scale = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    picture_of_error = best_worst.error_map(restored, sharp)
    np.testing.assert_array_equal(picture_of_error[3, 3], scale[0])
    np.testing.assert_array_equal(picture_of_error[1, 1], scale[127])
    np.testing.assert_array_equal(picture_of_error[0, 0], scale[255])
    np.testing.assert_array_equal(picture_of_error[2, 2], scale[255])


def test_large_pictures_are_shrunk(tmp_path):
    big = {"deblurred": picture(0, (1000, 2000)), "sharp": picture(9, (1000, 2000))}
    best_worst.write_pictures(tmp_path, rows(2), lambda index: big)
    sizes = {Image.open(path).size for path in tmp_path.glob("*.jpg")}
    assert sizes == {(800, 400)}
