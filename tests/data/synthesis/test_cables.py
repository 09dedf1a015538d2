"""Cables drawn across photographs."""

import sys

import numpy as np
import pytest
from PIL import Image

from msdi_jax.data.synthesis import cables

GREY = np.full((240, 360, 3), 120, np.uint8)


def test_lines_cover_a_part_of_the_picture():
    covered = []
    for seed in range(12):
        drawn = cables.draw(GREY, np.random.default_rng(seed))
        assert drawn.shape == GREY.shape
        covered.append(np.mean((drawn != GREY).any(axis=2)))
    assert min(covered) > 0.01
    assert max(covered) < 0.6


def test_a_bundle_consists_of_parallel_thin_lines():
    counts = set()
    for seed in range(40):
        cover = cables._bundle(600, 600, np.random.default_rng(seed))
        assert cover.min() >= 0
        assert cover.max() <= 1
        # Along a line through the middle, each one is entered once, or twice where it bends.
        entered = np.diff((cover > 0.5).astype(int), axis=1).clip(0).sum(axis=1)
        counts.add(int(np.median(entered)))
    assert {1, 2, 3} <= counts
    assert max(counts) <= 2 * cables.LINES[1]


def test_every_fourth_photograph_gets_the_same_copy_each_time(tmp_path, monkeypatch, capsys):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for index in range(6):
            Image.fromarray(GREY + index).save(tmp_path / folder / f"{index}.png")
        monkeypatch.setattr(sys, "argv", ["cables", "--folder", str(tmp_path / folder)])
        cables.main()
    assert "2 photographs with cables" in capsys.readouterr().out
    copies = sorted(path.name for path in (tmp_path / "a").glob("*_cables.png"))
    assert copies == ["0_cables.png", "4_cables.png"]
    pictures = [np.asarray(Image.open(tmp_path / folder / copies[0])) for folder in ("a", "b")]
    np.testing.assert_array_equal(*pictures)
    other = np.asarray(Image.open(tmp_path / "a" / copies[1]))
    assert not np.array_equal(other - 4, pictures[0])


def test_no_partial_copy_is_left(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "a.png")

    def save(image, path, **options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "save", save)
        with pytest.raises(KeyboardInterrupt):
            cables.add(tmp_path)
    assert [path.name for path in tmp_path.glob("*.png")] == ["a.png"]
    assert [path.name for path in cables.add(tmp_path)] == ["a_cables.png"]
    assert len(list(tmp_path.iterdir())) == 2


def test_existing_copies_and_other_folders_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="holds no PNG files"):
        cables.add(tmp_path)
    Image.fromarray(GREY).save(tmp_path / "a.png")
    cables.add(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cables", "--folder", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^error: .*a_cables\.png is there already"):
        cables.main()
