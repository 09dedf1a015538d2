import itertools

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from msdi_jax.evaluation import test_sets


def write(path, size=(12, 16), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path, **options)
    return path


def test_a_prepared_set_is_described_without_decoding(tmp_path, monkeypatch):
    from msdi_jax.data.pairs.pairs_dataset_builder import open_split, prepare
    from msdi_jax.data.readable import SkipDamaged

    for i in range(6):
        write(tmp_path / "sharp" / f"scene{i}.png", (12, 16 + i))
        write(tmp_path / "blurry" / f"scene{i}.png", (12, 16 + i))
    folders = {kind: tmp_path / kind for kind in ("blurry", "sharp")}
    source = SkipDamaged(open_split(prepare(tmp_path / "set", **folders, tile=0), "test"))
    records = [source[i] for i in range(len(source))]

    def refuse(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(tfds.features.Image, "decode_example_np", refuse)
    with pytest.raises(ValueError, match="decoded"):
        source[0]
    names, sizes = test_sets.names_and_sizes(source)
    assert names == [record["name"].decode() for record in records]
    assert sizes == [record["sharp"].shape[:2] for record in records]
    assert len(names) > 0


def test_a_damaged_record_of_a_prepared_set_is_named(tmp_path, monkeypatch):
    from msdi_jax.data.pairs.pairs_dataset_builder import prepare

    folders = {kind: tmp_path / kind for kind in ("blurry", "sharp")}
    for folder, number in itertools.product(folders.values(), range(4)):
        write(folder / f"scene{number}.png")
    directory = prepare(tmp_path / "set", **folders, tile=0)

    def refuse(*_):
        raise OSError("truncated")

    _, source = test_sets.open_prepared("pairs", str(directory), "test")
    monkeypatch.setattr(tfds.features.Image, "decode_example_np", refuse)
    with pytest.raises(ValueError, match=r"record 0 \(scene\d\.png\) cannot be read: .*truncated"):
        source[0]


def test_changed_pixels_of_a_tiff_change_the_digest(tmp_path):
    """Its end is the list of its tags."""
    before = np.zeros((64, 64, 3), np.uint8)
    digests = set()
    for picture in (before, before + 1):
        cv2.imwrite(str(tmp_path / "a.tif"), picture, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
        digests.add(test_sets.digest([tmp_path / "a.tif"]))
    assert len(digests) == 2


def test_a_changed_file_changes_the_digest(tmp_path):
    paths = [write(tmp_path / "a.png"), write(tmp_path / "b.png")]
    before = test_sets.digest(paths)
    assert test_sets.digest(paths) == before
    pixels = np.asarray(Image.open(paths[0])).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(paths[0])
    assert test_sets.digest(paths) != before
