import pytest
import tensorflow_datasets as tfds

from msdi_jax.data.records import describe_set, find_builder, read_settings
from msdi_jax.evaluation import test_sets
from tests.data import miniatures


@pytest.mark.parametrize(
    ("name", "make", "licence", "page"),
    [
        ("gopro", miniatures.gopro, "CC BY 4.0", "seungjunnah.github.io"),
        ("realblur_j", miniatures.realblur, "CC BY 4.0", "cg.postech.ac.kr"),
        ("hide", miniatures.hide, "none stated", "github.com/joanshen0508"),
    ],
)
def test_published_sets_name_their_source_and_licence(name, make, licence, page, tmp_path):
    make(tmp_path / "source", height=64, width=80)
    directory = find_builder(name).prepare(tmp_path, tmp_path / "source", accept_part=True)
    info = tfds.builder_from_directory(directory).info
    assert info.redistribution_info.license == licence
    assert page in info.homepage
    assert info.citation.startswith("@inproceedings{")
    assert "Licence: " in info.description


def test_a_set_is_summarized(tmp_path):
    source = miniatures.pairs(tmp_path / "source")
    picture = miniatures.picture(7, 160, 96)
    for kind in ("blurry", "sharp"):
        miniatures.save(source / kind / "7.png", picture)
    builder = find_builder("pairs")
    directory = builder.prepare(tmp_path, source, tile=96)
    parts = describe_set(directory)
    sizes = [(part, size) for part, held in parts.items() for size in held.sizes.elements()]
    assert sorted(size for _, size in sizes) == [*["112×96"] * 5, "96×160"]
    # By hand: tiles every 48 px, the last flush with the border; test frames whole.
    tiles = {("train", "112×96"): 2, ("train", "96×160"): 3}
    for part, summary in parts.items():
        assert summary.records == sum(tiles.get(key, 1) for key in sizes if key[0] == part)
        assert summary.records == len(builder.open_split(directory, part))
        files = directory.glob(f"pairs-{part}.array_record*")
        assert summary.bytes == sum(file.stat().st_size for file in files)


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json", "pairs-test*"])
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_damaged_set_is_named(tmp_path, file, kept):
    source = miniatures.pairs(tmp_path / "source")
    directory = find_builder("pairs").prepare(tmp_path, source, tile=96)
    (damaged,) = directory.glob(file)
    damaged.write_bytes(damaged.read_bytes()[: int(kept * damaged.stat().st_size)])
    # Records of a damaged shard are named by number and name.
    message = r"is damaged|record 0 \(.*\) (cannot be read|has no picture)"
    with pytest.raises(ValueError, match=rf"({message}).*prepare"):
        test_sets.names_and_sizes(test_sets.open_prepared("pairs", str(directory), "test")[1])


def test_a_set_is_found_below_the_root_it_was_prepared_in(tmp_path):
    source = miniatures.pairs(tmp_path / "source")
    with pytest.raises(ValueError, match="holds no prepared set pairs"):
        test_sets.open_prepared("pairs", str(tmp_path), "test")
    directory = find_builder("pairs").prepare(tmp_path / "root", source, tile=96)
    for given in (directory, tmp_path / "root"):
        assert test_sets.open_prepared("pairs", str(given), "test")[0] == directory
    find_builder("pairs").prepare(tmp_path / "root", source, tile=64)
    with pytest.raises(ValueError, match="holds 2 sets pairs, give the directory of one"):
        test_sets.open_prepared("pairs", str(tmp_path / "root"), "test")


@pytest.mark.parametrize("name", ["gopro", "hide", "pairs", "realblur_j", "realblur_r"])
def test_settings_hold_the_fields_of_a_configuration(name):
    settings = read_settings({"name": name, "directory": "any", "source": "here", "raw": True})
    assert (settings.source, settings.raw) == ("here", True)


def test_fields_of_another_set_are_refused():
    fields = {"name": "gopro", "directory": "any", "tile": 64, "anchor": "mean"}
    message = r"dataset\.anchor, dataset\.tile: gopro has no such field; its fields are .*blur"
    with pytest.raises(ValueError, match=message):
        read_settings(fields)


def test_unknown_sets_are_refused():
    known = "camera_shake, gopro, hide, pairs, realblur_j, realblur_r"
    with pytest.raises(ValueError, match=f"no data set 'gopr': choose one of {known}"):
        find_builder("gopr")
