"""Adapting a model to photographs without sharp partners, from files to a model."""

import json

import numpy as np
import pytest
from PIL import Image

from msdi_jax import models
from msdi_jax.cli.main import main
from tests.small_networks import SMALL, small_network

JOINT = models.Architecture("reblur_deblur_net", 2, depth=2)
TINY = {
    "deblur.steps": 2,
    "deblur.schedule_steps": 2,
    "deblur.crop": 32,
    "deblur.batch_size": 1,
    "deblur.val_images": 1,
    "deblur.log_every": 1,
    "dataset.tile": 64,
    "evaluation.restore": "grid",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models, two blurry and three sharp photographs."""
    folder = tmp_path_factory.mktemp("adapt")
    for name, architecture in (("joint", JOINT), ("msdi", SMALL)):
        description = models.Description(architecture, {"steps": 7}, "CC0")
        models.save(folder / name, small_network(architecture), description)
    rng = np.random.default_rng(0)
    for file in ("blurry/a.png", "blurry/b.png", "sharp/c.png", "sharp/d.png", "sharp/e.png"):
        (folder / file).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (80, 96, 3), np.uint8)).save(folder / file)
    return folder


def command(folder, workdir, *more):
    options = {"blurry": "blurry", "sharp": "sharp", "model": "msdi", "joint": "joint"}
    given = [f"--{option}={folder / name}" for option, name in options.items()]
    fields = [f"--config.{field}={value}" for field, value in TINY.items()]
    return ["adapt", *given, f"--workdir={workdir}", "--pairs=2", *fields, *more]


def test_a_model_is_adapted_and_the_same_command_resumes(folder, tmp_path, capsys):
    main(command(folder, tmp_path / "w"))
    printed = capsys.readouterr().out
    run = tmp_path / "w" / "run"
    assert f"msdi deblur --model {run}" in printed
    assert (run / "report.html").is_file()
    adapted, start = models.load(run), models.load(folder / "msdi")
    assert adapted.architecture == start.architecture
    provenance = adapted.description.provenance
    assert provenance["start_from"] == {"steps": 7}
    made = provenance["reblurred_pairs"]
    assert [file["name"] for file in made["blurry"]] == ["a.png", "b.png"]
    assert made["model"]["licence"] == "CC0"
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert "pairs" in json.dumps(evaluation)
    before = (run / "model" / "model.json").stat().st_mtime_ns
    main(command(folder, tmp_path / "w"))
    assert "already finished" in capsys.readouterr().out
    assert (run / "model" / "model.json").stat().st_mtime_ns == before


def test_sharp_photographs_default_to_the_embedded_ones(folder, tmp_path):
    arguments = [text for text in command(folder, tmp_path / "w") if "--sharp" not in text]
    with pytest.raises(SystemExit, match=r"skimage/data/coffee\.png is 400 px"):
        main([*arguments, "--longest-side=600", "--config.deblur.crop=448"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--sharp={}/one"], "1 sharp photographs: give at least 2, one to train"),
        (["--sharp={}/none"], "none is not a folder"),
        (["--blurry={}/empty"], "0 blurry photographs: give at least 1"),
        (["--pairs=0"], "pairs=0 must be at least 1"),
        (["--model={}/joint"], "joint is a reblur_deblur_net model, not msdi_net"),
        (["--joint={}/msdi"], "has no reblurring branch: give a joint network"),
        (["--config.deblur.crop=96"], r"c\.png is 80 px, reduced to --longest-side 768, less than"),
        (["--longest-side=36"], r"c\.png is 30 px, reduced to --longest-side 36, less than"),
        (["--config.deblur.crops=64"], "deblur.crops"),
        (["--config.deblur.batch_size=0"], "batch_size"),
    ],
    ids=str,
)
def test_unusable_calls_are_refused_before_anything_is_written(folder, tmp_path, change, message):
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "one").mkdir(exist_ok=True)
    Image.new("RGB", (64, 64)).save(folder / "one" / "c.png")
    changes = [option.format(folder) for option in change]
    with pytest.raises(SystemExit, match=message):
        main(command(folder, tmp_path / "w", *changes))
    assert not (tmp_path / "w").exists()
