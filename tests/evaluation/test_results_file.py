"""Files of results: resuming, refusing, reading."""

import dataclasses
import json

import pytest

from msdi_jax.evaluation import results_file
from msdi_jax.evaluation.results_file import Evaluation, ResultsFile, Settings

SETTINGS = Settings("gopro", "blur_1", "test", 2, ["gopro"], models=["a1"], restore="grid")
ROW = {"name": 'a,"b"', "photograph": "", "psnr": 1 / 3, "other": float("inf")}


def test_every_digit_survives(tmp_path):
    ResultsFile(tmp_path, SETTINGS).add(ROW)
    assert ResultsFile(tmp_path, SETTINGS).rows == {'a,"b"': ROW}
    assert results_file.read_rows(tmp_path) == {'a,"b"': ROW}


def test_what_is_written_is_read(tmp_path):
    evaluation = Evaluation(
        SETTINGS,
        {"psnr_deblurred": None},
        identical=2,
        config={"seed": 0},
        best_worst={"worst": ["a"]},
    )
    results_file.write(tmp_path, evaluation)
    assert results_file.read(tmp_path) == evaluation
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


def test_what_is_written_is_json(tmp_path):
    evaluation = Evaluation(SETTINGS, {"psnr": 1.0}, config={"deblur": {"clip_norm": float("inf")}})
    results_file.write(tmp_path, evaluation)
    assert results_file.read(tmp_path).config == {"deblur": {"clip_norm": None}}


@pytest.mark.parametrize(
    ("identical", "sentence"),
    [
        (0, ""),
        (1, "1 of 60 pairs is identical: means over the other 59"),
        (2, "2 of 60 pairs are identical: means over the other 58"),
        (60, "all 60 pairs are identical: no pair is left to average"),
    ],
)
def test_identical_pairs_in_words(identical, sentence):
    settings = dataclasses.replace(SETTINGS, images=60)
    assert Evaluation(settings, identical=identical).identical_text == sentence


@pytest.mark.parametrize(
    "change",
    [
        lambda record: [],
        lambda record: record | {"settings": None},
        lambda record: record | {"settings": record["settings"] | {"images": "2"}},
        lambda record: record | {"means": {"psnr_deblurred": "33"}},
        lambda record: record | {"deciles": {"images": 1}},
        lambda record: record | {"unknown": 1},
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, change):
    results_file.write(tmp_path, Evaluation(SETTINGS, {"psnr_deblurred": 1.0}))
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(ValueError, match=r"evaluation\.json is damaged"):
        results_file.read(tmp_path)


def test_an_unfinished_evaluation_is_refused(tmp_path):
    ResultsFile(tmp_path, SETTINGS).add(ROW)
    with pytest.raises(ValueError, match=r"evaluation\.json is unfinished: repeat the command"):
        results_file.read(tmp_path)


def test_rows_without_settings_are_refused(tmp_path):
    ResultsFile(tmp_path, SETTINGS).add(ROW)
    (tmp_path / "evaluation.json").unlink()
    with pytest.raises(ValueError, match=r"per_image\.csv has no evaluation\.json: choose another"):
        ResultsFile(tmp_path, SETTINGS)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_restart_deletes_other_results_and_their_pictures(tmp_path, damaged):
    ResultsFile(tmp_path, SETTINGS).add(ROW)
    picture = tmp_path / "samples" / "a-row.png"
    picture.parent.mkdir()
    picture.write_bytes(b"")
    assert len(ResultsFile(tmp_path, SETTINGS, restart=True).rows) == 1
    assert picture.exists()
    other = SETTINGS if damaged else dataclasses.replace(SETTINGS, window=64)
    if damaged:
        (tmp_path / "per_image.csv").write_text("name,psnr\na,high\n")
    with pytest.raises(ValueError, match="is damaged" if damaged else r"window None \(now 64\)"):
        ResultsFile(tmp_path, other)
    assert ResultsFile(tmp_path, other, restart=True).rows == {}
    assert not picture.exists()


def test_the_protocol_in_words():
    settings = dataclasses.replace(SETTINGS, orientations=2, window=64)
    assert settings.text == (
        "gopro (blur_1) test, 2 images, restored: grid, 2 orientations, window 64, scored: gopro"
    )
    assert Settings("x/sharp", "", "", 2, ["gopro"], outputs="b").text == (
        "x/sharp, 2 images, scored: gopro"
    )
