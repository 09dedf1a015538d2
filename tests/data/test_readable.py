"""Records with damaged pictures, in a set as tfds keeps it."""

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from msdi_jax.data.pipeline import batches
from msdi_jax.data.readable import SkipDamaged


class Damaged(tfds.core.GeneratorBasedBuilder):
    """Four pairs, whose second has half a PNG for its blurry picture."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
        features = {"blurry": image, "sharp": image, "name": tfds.features.Text()}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for index in range(4):
            noise = np.random.default_rng(index).integers(0, 256, (20, 20, 3), np.uint8)
            png = cv2.imencode(".png", noise)[1].tobytes()
            blurry = png[: len(png) // 2] if index == 1 else png
            yield index, {"blurry": blurry, "sharp": png, "name": f"pair{index}"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    builder = Damaged(data_dir=tmp_path_factory.mktemp("set"), file_format="array_record")
    builder.download_and_prepare()
    return builder.as_data_source("train")


@pytest.fixture(scope="module")
def position(source):
    """Where the shuffled set holds the damaged pair."""
    for index in range(len(source)):
        try:
            source[index]
        except Exception:
            return index
    raise AssertionError("no record is damaged")


def test_a_damaged_record_is_named(source, position):
    with pytest.raises(
        ValueError, match=rf"record {position} \(pair1\) cannot be read.*skip_damaged"
    ):
        SkipDamaged(source)[position]


def test_the_next_one_is_used_and_the_name_printed_once(source, position, capsys):
    readable = SkipDamaged(source, skip=True)
    after = source[(position + 1) % 4]
    for _ in range(2):
        assert readable[position]["name"] == after["name"]
    assert capsys.readouterr().out.count("(pair1) cannot be read") == 1


def test_iteration_ends(source, position):
    readable = SkipDamaged(source, skip=True)
    names = [record["name"] for record in readable]
    assert len(names) == 4
    assert names[position] == names[(position + 1) % 4]
    with pytest.raises(IndexError, match="no record 4 among 4"):
        readable[4]


def test_training_batches(source, capsys):
    with pytest.raises(ValueError, match=r"\(pair1\) cannot be read"):
        batches(source, batch_size=4, crop=16, seed=0)[0]
    batch = batches(source, batch_size=4, crop=16, seed=0, skip_damaged=True)[0]
    assert batch["blurry"].shape == (4, 16, 16, 3)
    assert "(pair1) cannot be read" in capsys.readouterr().out


def test_nothing_readable():
    class Broken:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            raise OSError("gone")

    with pytest.raises(ValueError, match="none of the 2 records can be read"):
        SkipDamaged(Broken(), skip=True)[0]
