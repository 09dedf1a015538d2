"""The photographs of the bundled model, from stand-ins with their names."""

import re

import pytest
from PIL import Image

from msdi_jax.data import open_photographs, photographs


@pytest.fixture
def unpacked(tmp_path):
    ends = (
        *open_photographs._PARTS[-1],
        *open_photographs._TEST,
        *open_photographs._VAL,
    )
    for index, end in enumerate((*ends, "usr/share/backgrounds/umang.jpg")):
        path = tmp_path / "unpacked" / end
        path.parent.mkdir(parents=True, exist_ok=True)
        # Colours that differ enough to stay different in JPEG.
        colour = tuple(40 * (index // 6**place % 6) for place in range(3))
        Image.new("RGB", (2000, 1000), colour).save(path)
    return tmp_path / "unpacked"


@pytest.mark.parametrize(("part", "count"), [(1, 12), (2, 25), (3, 38), (4, 81)])
def test_photographs_are_gathered_by_split_with_their_licences(tmp_path, unpacked, part, count):
    target = open_photographs.gather(unpacked, tmp_path / "open", part)
    split = photographs.from_folder(target)
    assert len(split.train) == count
    assert len(split.test) == 6
    assert all(p.name.startswith("train/") for p in split.train)
    assert all(p.name.startswith("test/") for p in split.test)
    sizes = {p.path.stem: p.size() for p in split.train + split.test}
    assert sizes["Wine_by_Jakkub_Mede"] == (800, 1600)
    assert sizes["astronaut"] == (512, 512)
    text = (target / "LICENCES.txt").read_text()
    free = {"CC BY 4.0", "CC0", "public domain"} | ({"CC BY 3.0"} if part > 1 else set())
    for side, licences in (("train", free), ("test", None)):
        lines = re.findall(rf"^{side}/.+\.png: .+, (.+)$", text, re.MULTILINE)
        assert len(lines) == len(getattr(split, side))
        # Training photographs require attribution at most.
        assert licences is None or set(lines) == licences


def test_folders_in_the_home_directory(tmp_path, unpacked, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_photographs.gather("~/unpacked", "~/open") == tmp_path / "open"


def test_val_photographs_are_neither_trained_nor_tested_on(tmp_path, unpacked):
    def gathered(name, **options):
        split = photographs.from_folder(
            open_photographs.gather(unpacked, tmp_path / name, **options)
        )
        return [{photo.digest() for photo in side} for side in (split.train, split.test)]

    train, test = gathered("open", part=4)
    first, val = gathered("val", val=True)
    assert len(val) == 15
    assert not val & (train | test)
    assert first < train


def test_missing_ones_are_named(tmp_path, unpacked):
    next(unpacked.rglob("Bridge*")).unlink()
    with pytest.raises(
        ValueError, match=r"usr/.*/Bridge_by_Sander_Klootwijk\.jpg missing in .*: unpack"
    ):
        open_photographs.gather(unpacked, tmp_path / "open")


def test_a_target_that_is_not_empty_is_refused(tmp_path, unpacked):
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "mine.png").touch()
    with pytest.raises(ValueError, match="not empty"):
        open_photographs.gather(unpacked, tmp_path / "open")
