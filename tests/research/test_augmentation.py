"""Pairs whose blur comes from other photographs: what is written, and how it continues."""

import csv
import itertools
import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.data.pairs import pairs_dataset_builder as pairs
from msdi_jax.networks.functional import abstract
from msdi_jax.research import augmentation, transfer
from msdi_jax.restoration import image_io
from tests.small_networks import SMALL, draw_arrays, small_network

# Of different sizes: pairs may be.
SIZES = {"a": (64, 80), "b": (80, 64), "c": (64, 64), "d": (72, 66), "e": (64, 64)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A joint model and folders of blurry and sharp photographs."""
    folder = tmp_path_factory.mktemp("augment")
    architecture = models.Architecture("reblur_deblur_net", 2, depth=2)
    network = draw_arrays(abstract(architecture.build))
    models.save(folder / "joint", network, models.Description(architecture, {"steps": 7}, ""))
    rng = np.random.default_rng(0)
    for kind, names in (("blurry", "ab"), ("sharp", "cde")):
        (folder / kind).mkdir()
        for name in names:
            image = rng.integers(0, 256, (*SIZES[name], 3), np.uint8)
            Image.fromarray(image).save(folder / kind / f"{name}.png")
    return folder


def arguments(folders, output, *more):
    given = [f"--{kind}={folders / kind}" for kind in ("blurry", "sharp")]
    given += [f"--model={folders / 'joint'}", f"--output={output}"]
    return ["reblur", "augment", *given, *more]


def rows(output):
    with (output / augmentation.TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def made(folders):
    main(arguments(folders, folders / "set", "--pairs=3", "--strengths", "0.5", "1.5"))
    return folders / "set"


def test_pairs_have_the_blur_of_the_table(folders, made):
    joint = models.load(folders / "joint")
    table = rows(made)
    assert len(table) == 9
    assert {row["blur_of"] for row in table} == {"a.png", "b.png"}
    assert all(0.5 <= float(row["strength"]) <= 1.5 for row in table)
    for row in table[::4]:
        sharp = image_io.to_unit(image_io.read(made / row["sharp"]))
        blurry = image_io.to_unit(image_io.read(folders / "blurry" / row["blur_of"]))
        strength = float(row["strength"])
        (expected,) = transfer.interpolate(joint, sharp, blurry, [strength])
        written = image_io.to_unit(image_io.read(made / row["blurry"]))
        np.testing.assert_allclose(written, expected, atol=0.006)
        assert np.abs(written - sharp).max() > 0.02


def test_the_set_can_be_prepared_by_the_printed_command(folders, made, tmp_path, capsys):
    """No sharp photograph is on both sides."""
    main(arguments(folders, made, "--pairs=3", "--strengths", "0.5", "1.5"))
    command = re.search(r"msdi (prepare .*)", capsys.readouterr().out)[1]
    main([*shlex.split(command), f"--to={tmp_path}", "--tile=64"])
    split = pairs.from_table(made / augmentation.TABLE)
    sides = [{pair.sharp for pair in part} for part in split.values()]
    assert not set.intersection(*sides)
    assert sum(map(len, split.values())) == 9


def test_an_interrupted_call_continues(folders, made, tmp_path):
    options = ["--pairs=3", "--strengths", "0.5", "1.5"]
    main(arguments(folders, tmp_path, *options))
    files = sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*.png"))
    assert len(files) == 12
    before = {file: (tmp_path / file).read_bytes() for file in files}
    for file in itertools.chain(files[::2], [augmentation.TABLE]):
        (tmp_path / file).unlink()
    kept = (tmp_path / files[1]).stat().st_mtime_ns
    main(arguments(folders, tmp_path, *options))
    assert {file: (tmp_path / file).read_bytes() for file in files} == before
    assert (tmp_path / files[1]).stat().st_mtime_ns == kept
    assert rows(tmp_path) == rows(made)


def test_the_provenance_names_model_files_and_options(made):
    record = json.loads((made / augmentation.PROVENANCE).read_text())
    assert record["model"]["provenance"] == {"steps": 7}
    assert record["settings"]["strongest"] == 1.5
    assert [file["name"] for file in record["blurry"]] == ["a.png", "b.png"]
    assert all(len(file["sha256"]) == 64 for file in record["sharp"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--pairs=0"], "pairs=0 must be at least 1"),
        (["--longest-side=0"], "longest-side=0 must be at least 1"),
        (["--strengths", "1", "0.5"], "strengths 1 to 0.5: the first must be at least 0"),
        (["--seed=1"], "was begun with another model, photographs or options"),
        (["--output={}/joint"], "joint is not an empty folder"),
        (["--sharp={}/missing"], "missing is not a folder"),
        (["--sharp={}/empty"], "0 sharp photographs: give at least 2"),
        (["--blurry={}/empty"], "0 blurry photographs: give at least 1"),
        (["--sharp={}/one"], "1 sharp photographs: give at least 2, one to train"),
        (["--sharp={}/twice"], "several sharp photographs are called c: rename them"),
        (["--blurry={}/cut"], "cut/a.jpg cannot be read as an image: image file is truncated"),
        (["--model={}/deblur"], "has no reblurring branch: give a joint network"),
    ],
    ids=str,
)
def test_unusable_calls_are_refused(folders, made, change, message):
    (folders / "empty").mkdir(exist_ok=True)
    for name, files in (("one", ["c.png"]), ("twice", ["c.png", "c.jpg"])):
        (folders / name).mkdir(exist_ok=True)
        for file in files:
            Image.new("RGB", (64, 64)).save(folders / name / file)
    (folders / "cut").mkdir(exist_ok=True)
    Image.effect_noise((200, 200), 99).convert("RGB").save(folders / "cut" / "a.jpg")
    (folders / "cut" / "a.jpg").write_bytes((folders / "cut" / "a.jpg").read_bytes()[:3000])
    if not (folders / "deblur").exists():
        models.save(folders / "deblur", small_network(), models.Description(SMALL, {}, ""))
    with pytest.raises(SystemExit, match=message):
        main(arguments(folders, made, *(option.format(folders) for option in change)))
