"""The prepare command: its messages and errors, and that its sets train and evaluate."""

import importlib
import re

import numpy as np
import pytest

from msdi_jax.cli.main import main
from msdi_jax.data.records import find_set, open_split, recorded_sizes
from msdi_jax.evaluation import test_sets
from msdi_jax.training.splits import open_splits
from tests.data import miniatures

SETS = {
    "gopro": miniatures.gopro,
    "realblur_j": miniatures.realblur,
    "realblur_r": lambda root: miniatures.realblur(root, "R"),
    "hide": miniatures.hide,
    "pairs": miniatures.pairs,
}


def prepare(name, source, root, *options):
    part = [] if name == "pairs" else ["--accept-part"]
    main(["prepare", name, f"--from={source}", f"--to={root}", *part, *options])


@pytest.mark.parametrize("name", SETS)
def test_a_prepared_set_opens_with_its_configuration(name, tmp_path, capsys):
    """Builders and configurations take the printed directory as well as the root."""
    prepare(name, SETS[name](tmp_path / "source"), tmp_path)
    printed = capsys.readouterr().out
    (directory,) = tmp_path.glob(f"{name}/*/1.0.0")
    assert f"evaluate:  --dataset {name} --data {directory}" in printed
    fields = f"--config.dataset.name={name} --config.dataset.directory={directory}"
    assert f"train:     {fields}" in printed
    assert "Download" not in printed
    builder = importlib.import_module(f"msdi_jax.data.{name}.{name}_dataset_builder")
    config = {"gopro": "gopro_deblur", "pairs": "finetune"}.get(name, f"{name}_deblur")
    fields = {}
    if name != "hide":
        fields = (
            importlib.import_module(f"msdi_jax.configs.{config}").get_config().dataset.to_dict()
        )
        assert fields.pop("name") == name
        assert fields.pop("directory") == "prepared"
    assert builder.prepare(tmp_path, **fields) == builder.prepare(directory, **fields) == directory
    counts = [len(open_split(directory, part)) for part in ("train", "test")]
    assert sum(counts) == 5


def table(root, brighter):
    """Write a CSV of three training pairs and a test pair; the blurry first rows are `brighter`."""
    lines = ["blurry,sharp,split"]
    for index, width in enumerate((100, 110, 120, 100)):
        sharp = np.full((80, width, 3), 100, np.uint8)
        blurry = sharp.copy()
        blurry[0] += brighter
        for kind, pixels in (("sharp", sharp), ("blurry", blurry)):
            miniatures.save(root / kind / f"{index}.png", pixels)
        part = "test" if index == 3 else "train"
        lines.append(f"blurry/{index}.png,sharp/{index}.png,{part}")
    (root / "pairs.csv").write_text("\n".join(lines) + "\n")
    return root / "pairs.csv"


def test_summary(tmp_path, capsys):
    prepare("pairs", table(tmp_path, brighter=10), tmp_path, "--tile=64")
    printed = capsys.readouterr().out
    # By hand: top left corners of tiles at 0 and 16 by 0, 32, 36 (of 100), 46 (110), 56 (120).
    assert re.search(
        r"train +3 pairs \(100×80 to 120×80 px, 3 sizes\) +18 records [\d.]+ MB", printed
    )
    assert re.search(r"test +1 pairs \(100×80 px\) +1 records [\d.]+ MB", printed)
    # 10² over 80 rows.
    assert f"PSNR {10 * np.log10(255**2 * 80 / 100):.2f} dB on average" in printed
    directory = find_set(tmp_path, "pairs")
    assert recorded_sizes(directory, "train") == {"100×80": 1, "110×80": 1, "120×80": 1}
    again = len(printed.splitlines())
    prepare("pairs", tmp_path / "pairs.csv", tmp_path, "--tile=64")
    assert len(capsys.readouterr().out.splitlines()) == again


def test_equal_images_are_reported(tmp_path, capsys):
    prepare("pairs", table(tmp_path, brighter=0), tmp_path)
    assert "blurry images are not blurry, 1 of 1 pairs are equal images" in capsys.readouterr().out


def test_gopro_names_the_blur(tmp_path, capsys):
    prepare("gopro", miniatures.gopro(tmp_path / "source"), tmp_path, "--blur=blur_gamma")
    (directory,) = tmp_path.glob("gopro/blur_gamma_*/1.0.0")
    np.testing.assert_array_equal(
        open_split(directory, "test")[0]["blurry"], miniatures.picture(203)
    )
    assert str(directory) in capsys.readouterr().out


def test_two_folders_anywhere(tmp_path, capsys):
    source = miniatures.pairs(tmp_path / "source")
    folders = [f"--blurry={source}/blurry", f"--sharp={source}/sharp"]
    main(["prepare", "pairs", *folders, f"--to={tmp_path}"])
    directory = capsys.readouterr().out.split("--data ")[1].split()[0]
    assert len(open_split(directory, "train")) + len(open_split(directory, "test")) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gopr", "--from=source"], "no data set 'gopr': choose one of camera_shake, gopro, hide"),
        (["camera_shake", "--from=source"], "camera_shake is prepared by `msdi train` and"),
        (["gopro"], "--from is missing"),
        (["gopro", "--from=nowhere"], "nowhere is not a folder: expected {train,test}/GOPR"),
        (["gopro", "--from=source"], "test: found 2 pairs, expected 1111"),
        (["hide", "--from=source", "--blur=blur"], "hide has no option --blur: leave it out"),
        (["gopro", "--from=source", "--tile=64"], "gopro has no option --tile: leave it out"),
        (["gopro", "--from=source", "--blur=linear"], "blur='linear' is unknown: choose one of"),
        (["pairs", "--from=source"], "source/blurry is not a folder"),
        (["pairs", "--from=source", "--blurry=source"], "give either a source or both folders"),
    ],
)
def test_refusals_write_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    miniatures.gopro(tmp_path / "source")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit, match=re.escape(message)) as error:
        main(["prepare", *arguments])
    assert str(error.value).startswith("error: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_interrupted_command_resumes(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    source = miniatures.pairs(tmp_path / "source")
    with monkeypatch.context() as patch:
        patch.setattr("msdi_jax.data.paired.builder.encode_png", interrupt)
        with pytest.raises(SystemExit, match="stopped: the same command resumes"):
            prepare("pairs", source, tmp_path)
    prepare("pairs", source, tmp_path)
    assert len(list(tmp_path.glob("pairs/*/1.0.0"))) == 1


@pytest.mark.parametrize(
    ("name", "config", "options"),
    [
        ("gopro", "gopro_deblur", ["--raw"]),
        ("realblur_j", "realblur_j_deblur", ["--raw"]),
        ("pairs", "finetune", ["--raw", "--tile=64"]),
    ],
)
def test_other_kinds_of_sets_open_with_the_printed_options(name, config, options, tmp_path, capsys):
    prepare(name, SETS[name](tmp_path / "source"), tmp_path, *options)
    printed = capsys.readouterr().out
    (line,) = re.findall("^train: +(.+)$", printed, re.MULTILINE)
    config = importlib.import_module(f"msdi_jax.configs.{config}").get_config()
    # Each miniature has two scenes to train on.
    config.val = 1
    dataset = config.dataset
    for option in line.split():
        field, value = option.removeprefix("--config.dataset.").split("=")
        dataset[field] = type(dataset[field])(value)
    data = open_splits(config)
    assert min(len(data.train), len(data.test)) > 0
    assert data.train[0]["sharp"].dtype == np.uint8
    assert data.configuration in printed
    # As `evaluate` reads sizes, without decoding.
    shape = data.test[0]["sharp"].shape[:2]
    assert test_sets.names_and_sizes(data.test)[1][0] == shape


def test_a_long_list_of_bad_pairs_is_shortened(tmp_path):
    for index in range(30):
        miniatures.save(tmp_path / "source" / "blurry" / f"{index:02d}.png", miniatures.picture(1))
    (tmp_path / "source" / "sharp").mkdir()
    with pytest.raises(SystemExit) as error:
        prepare("pairs", tmp_path / "source", tmp_path / "new")
    lines = str(error.value).splitlines()
    assert "30 problems with the pairs" in lines[0]
    assert "sharp/" in lines[1]
    assert "missing" in lines[20]
    assert lines[21:] == ["and 10 more"]
    assert not (tmp_path / "new").exists()
