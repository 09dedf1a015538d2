"""The loop over test images."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from msdi_jax.evaluation import evaluate as evaluation
from msdi_jax.evaluation import results_file
from msdi_jax.evaluation.results_file import ResultsFile, Settings
from msdi_jax.evaluation.test_sets import prepared_pairs
from msdi_jax.runtime import letter_case

SETTINGS = Settings("set", "", "test", 1, ["gopro"])


class Halves:
    """A model that halves, and may be interrupted at a call."""

    description = SimpleNamespace(orientations=1, window=None)

    def __init__(self, digest="a", interruption=None):
        self.digest, self.interruption, self.calls = digest, interruption, 0

    def deblur(self, images):
        self.calls += 1
        if self.calls == self.interruption:
            raise KeyboardInterrupt
        return images / 2


def pairs(count=3, **fields):
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (count, 20, 24, 3), dtype=np.uint8)
    blurry = np.clip(sharp + rng.integers(-9, 10, sharp.shape), 0, 255).astype(np.uint8)
    records = [
        {"name": f"r{i}".encode(), "blurry": blurry[i], "sharp": sharp[i]} for i in range(count)
    ]
    for record in records:
        record.update({key: make(record) for key, make in fields.items()})
    return prepared_pairs(records, "set", "", "test")


def evaluate(folder, model=None, joint=None, data=None, restoration="whole", **options):
    subject = evaluation.model_subject(model or Halves(), joint, restoration=restoration)
    return evaluation.evaluate(subject, data or pairs(), folder, **options)


def test_unknown_modes_and_protocols_are_refused(tmp_path):
    with pytest.raises(ValueError, match="mode 'tiles' is unknown: give whole or grid"):
        evaluate(tmp_path, restoration="tiles")
    with pytest.raises(ValueError, match="protocol 'psnr' is unknown: choose among gopro, per_"):
        evaluate(tmp_path, scoring=["gopro", "psnr"])
    with pytest.raises(ValueError, match="there are no pairs"):
        evaluate(tmp_path, data=pairs(0))
    assert not [*tmp_path.iterdir()]


def test_pixels_that_are_not_numbers_are_named(tmp_path):
    model = Halves()
    model.deblur = lambda images: images * np.nan
    with pytest.raises(ValueError, match="r0: the deblurred image has pixels that are not numbers"):
        evaluate(tmp_path, model)


def test_deciles_and_pictures(tmp_path):
    model = Halves()
    results = evaluate(tmp_path, model, data=pairs(4), sample_count=2)
    assert results.samples == ["r0", "r3"]
    assert model.calls == 4, "the pictures of a small set are drawn as it is measured"
    rows = results_file.read_rows(tmp_path).values()
    ranked = sorted(rows, key=lambda row: row["psnr_deblurred"])
    assert results.best_worst["worst"] == [row["name"] for row in ranked[:2]]
    assert len([*(tmp_path / "samples" / "best_worst").iterdir()]) == 4 * 4
    assert len([*(tmp_path / "samples").glob("*.png")]) == 2 * 4
    blurry = [row["psnr_blurry"] for row in rows]
    assert results.deciles["blurriest"]["psnr_blurry"] == min(blurry)
    assert results.deciles["sharpest"]["psnr_blurry"] == max(blurry)
    assert results.deciles["all"]["psnr_deblurred"] == results.means["psnr_deblurred"]


def test_it_resumes_and_restores_nothing_twice_but_lost_pictures(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, Halves(interruption=3), sample_count=1)
    resumed = Halves()
    results = evaluate(tmp_path, resumed, sample_count=1)
    assert resumed.calls == 1
    (tmp_path / "samples" / "r0-row.png").unlink()
    drawn = Halves()
    assert evaluate(tmp_path, drawn, sample_count=1) == results
    assert drawn.calls == 1
    assert (tmp_path / "samples" / "r0-row.png").exists()


def test_a_restart_takes_nothing_from_other_weights(tmp_path):
    evaluate(tmp_path, sample_count=3)
    other = Halves("b")
    with pytest.raises(ValueError, match=r"models \['a'\] \(now \['b'\]\)"):
        evaluate(tmp_path, other)
    evaluate(tmp_path, other, restart=True, sample_count=1)
    assert other.calls == 3
    assert {path.name[:2] for path in (tmp_path / "samples").glob("*.png")} == {"r0"}


def test_names_that_are_paths_make_no_folders(tmp_path):
    """Records of `pairs` are named like their files."""
    data = pairs(2, name=lambda record: f"scene/{record['name'].decode()}.png")
    evaluate(tmp_path, data=data, sample_count=1)
    assert (tmp_path / "samples" / "scene%2Fr0.png-blurry.png").exists()


def test_names_that_differ_by_case(tmp_path, monkeypatch):
    def data():
        return pairs(2, name=lambda record: {b"r0": "a", b"r1": "A"}[record["name"]])

    monkeypatch.setattr(letter_case, "distinguishes_case", lambda folder: False)
    with pytest.raises(ValueError, match=r"a and A are one name on the disk of .*write to another"):
        evaluate(tmp_path, data=data())
    assert not [*tmp_path.iterdir()]
    monkeypatch.setattr(letter_case, "distinguishes_case", lambda folder: True)
    assert evaluate(tmp_path, data=data()).settings.images == 2


def test_a_joint_network_reblurs_in_tiles_too(tmp_path):
    """Two images are restored to one."""

    class Joint:
        digest = "j"

        def __call__(self, blurry, sharp):
            return SimpleNamespace(reblurred=(blurry + 3 * sharp) / 4)

    whole, grid = (
        evaluate(tmp_path / mode, joint=Joint(), data=pairs(2), restoration=mode).means
        for mode in ("whole", "grid")
    )
    assert grid["psnr_reblurred"] == pytest.approx(whole["psnr_reblurred"], abs=1e-4)
    assert grid["psnr_reblurred"] != pytest.approx(grid["psnr_blurry"], abs=0.1)


def test_rows_keep_the_order_of_the_names_in_several_threads(tmp_path):
    """The last image is the fastest; one image per worker is in work at a time."""
    running = []

    def measure(index):
        running.append(index)
        time.sleep(0.002 * (20 - index))
        assert len(running) <= 4
        running.remove(index)
        return {"name": str(index), "photograph": "", "psnr": float(index)}

    names = [str(index) for index in range(20)]
    rows = evaluation.complete(ResultsFile(tmp_path, SETTINGS), names, measure, workers=4)
    assert [row["psnr"] for row in rows] == list(range(20))
    lines = (tmp_path / "per_image.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["name", *names]


def test_a_failure_in_a_thread_ends_the_work_and_keeps_what_is_done(tmp_path):
    begun = []

    def measure(index):
        begun.append(index)
        time.sleep(0.002)
        if index == 5:
            raise ValueError("image 5 is damaged")
        return {"name": str(index), "photograph": "", "psnr": float(index)}

    names = [str(index) for index in range(50)]
    with pytest.raises(ValueError, match="image 5 is damaged"):
        evaluation.complete(ResultsFile(tmp_path, SETTINGS), names, measure, workers=2)
    assert list(ResultsFile(tmp_path, SETTINGS).rows) == names[:5]
    assert len(begun) < 20
