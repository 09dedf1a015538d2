"""The README's walk through own photographs, shrunk: prepare, fine-tune, evaluate, deblur."""

import jax
import numpy as np
import pytest
from PIL import Image

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.configs import finetune
from msdi_jax.data.photographs import embedded
from msdi_jax.data.synthesis.camera_motion import draw_shake
from msdi_jax.data.synthesis.render import render
from msdi_jax.evaluation import results_file
from msdi_jax.networks.functional import arrays_of
from msdi_jax.training import run
from tests.small_networks import SMALL, small_network

SIDE = 96


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of six embedded photographs in blurry/ and sharp/, two shakes of each."""
    folder = tmp_path_factory.mktemp("mine")
    for index, photo in enumerate(2 * embedded().train):
        shake = draw_shake(index, SIDE, SIDE, max_layers=0, reach=12)
        for kind, pixels in zip(("blurry", "sharp"), render(photo.read(), shake), strict=True):
            path = folder / kind / photo.name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    path = tmp_path_factory.mktemp("start") / "model"
    models.save(path, small_network(), models.Description(SMALL, {}, "none"))
    return path


def largest_change(before, after):
    pairs = zip(*(jax.tree.leaves(arrays_of(x)) for x in (before, after)), strict=True)
    return max(np.abs(a - b).max() for a, b in pairs)


@pytest.mark.slow
def test_walk_through(photographs, start, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["prepare", "pairs", f"--from={photographs}"])
    assert "evaluate:  --dataset pairs --data " in capsys.readouterr().out

    config = finetune.get_config()
    config.update_from_flattened_dict(SMALL.config_overrides())
    config.evaluation.samples = 1
    shrunk = {"steps": 2, "schedule_steps": 2, "batch_size": 2, "crop": 32, "val_images": 2}
    config.deblur.update({"start_from": str(start), **shrunk})
    run.run(config, tmp_path / "runs" / "mine")
    # The start is also evaluated.
    measured = results_file.read(tmp_path / "runs" / "mine")
    assert measured.other_weights["start"]["psnr_deblurred"] > 0
    assert "deblurred by start weights: PSNR" in capsys.readouterr().out
    before, after = models.load(start), models.load("runs/mine/model")
    assert after.description.provenance["dataset"] == "pairs"
    # Adam moves a weight by about the rate in a step.
    assert 0 < largest_change(before.network, after.network) < 4 * config.deblur.learning_rate
    assert largest_change(before.network.degradation, after.network.degradation) == 0

    main(["evaluate", "--model=runs/mine/model", "--dataset=pairs", "--restore=whole"])
    row = results_file.read(tmp_path / "runs" / "mine" / "evaluation" / "model-pairs-test-whole")
    assert row.settings.images >= 2
    assert row.settings.configuration.startswith("tile512_")
    assert 10 < row.means["psnr_blurry"] < 50
    main(
        [
            "deblur",
            "--model=runs/mine/model",
            f"--input={photographs}/blurry/rocket",
            "--output=out",
        ]
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"2.png", "5.png"}
