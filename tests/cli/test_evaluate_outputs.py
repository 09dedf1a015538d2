"""python -m msdi_jax evaluate --outputs: any method's images, scored like a model's."""

import json

import numpy as np
import pytest
from PIL import Image

from msdi_jax.cli.main import main
from msdi_jax.evaluation import metrics, protocols, results_file

COUNT = 12


@pytest.fixture
def folders(tmp_path):
    """Twelve images, 20×24: sharp, blurry (noise of a growing range) and a method's results."""
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        sharp = rng.integers(30, 226, (20, 24, 3))
        noise = {"sharp": 0, "blurry": 8 + i, "results": 4}
        for kind, span in noise.items():
            (tmp_path / kind).mkdir(exist_ok=True)
            image = np.uint8(sharp + rng.integers(-span, span + 1, sharp.shape))
            Image.fromarray(image).save(tmp_path / kind / f"image{i:02d}.png")
    return tmp_path


def evaluate(folders, *more):
    arguments = [f"--outputs={folders}/results", f"--sharp={folders}/sharp", *more]
    main(["evaluate", *arguments])
    written = folders / "evaluation" / f"results-{folders.name}-sharp"
    return results_file.read(written), written


def read(path):
    return np.asarray(Image.open(path))


def test_results(folders, capsys):
    row, written = evaluate(folders, f"--blurry={folders}/blurry", "--workers=2")
    pairs = [
        [read(folders / kind / f"image{i:02d}.png") for kind in ("blurry", "results", "sharp")]
        for i in range(COUNT)
    ]
    for kind, place in (("blurry", 0), ("deblurred", 1)):
        for metric in ("psnr", "ssim_3d", "ssim"):
            values = [getattr(metrics, metric)(pair[place], pair[2]) for pair in pairs]
            assert row.means[f"{metric}_{kind}"] == pytest.approx(np.mean(values), abs=1e-12)
    # The noisiest input is the last.
    assert row.deciles["blurriest"]["psnr_blurry"] == metrics.psnr(pairs[-1][0], pairs[-1][2])
    assert row.method == "results"
    printed, progress = capsys.readouterr()
    assert "image/s" in progress
    assert f"results, on {folders.name}/sharp, {COUNT} images, scored: gopro" in printed
    assert f"{row.deciles['all']['psnr_deblurred']:.2f}" in printed
    assert (written / "report.html").exists()
    assert len(row.best_worst["worst"]) == COUNT // 2


def test_a_second_run_reuses_what_is_finished(folders, monkeypatch, capsys):
    first, written = evaluate(folders)
    rows = (written / "per_image.csv").read_bytes()

    def refuse(*_):
        raise AssertionError("scored again")

    monkeypatch.setattr(protocols, "score_pair", refuse)
    again, _ = evaluate(folders)
    assert again == first
    assert (written / "per_image.csv").read_bytes() == rows
    assert f"{COUNT} of {COUNT} images were measured before" in capsys.readouterr().out


def test_without_blurry_images_there_are_no_deciles(folders):
    row, _ = evaluate(folders)
    assert row.deciles is None
    assert not [key for key in row.means if key.endswith("_blurry")]


def test_a_tiny_image_is_named_with_the_smallest_size(folders):
    for kind in ("sharp", "results"):
        Image.new("RGB", (40, 10)).save(folders / kind / "tiny.png")
    message = r"per_channel needs .* 11×11 px: .* 1 of 13, .*\n.*sharp/tiny\.png: 10×40 px$"
    with pytest.raises(SystemExit, match=message):
        evaluate(folders)
    assert not (folders / "evaluation").exists()
    row, _ = evaluate(folders, "--protocol", "gopro", "float")
    assert row.settings.images == COUNT + 1


def refuse(name):
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.parametrize("count", [1, 2, COUNT])
def test_identical_pairs_are_reported_apart(folders, capsys, count):
    for i in range(count):
        name = f"image{i:02d}.png"
        (folders / "results" / name).write_bytes((folders / "sharp" / name).read_bytes())
    row, written = evaluate(
        folders, f"--blurry={folders}/blurry", "--protocol", *protocols.PROTOCOLS
    )
    json.loads((written / "evaluation.json").read_text(), parse_constant=refuse)
    assert row.identical == count
    others = [r for r in results_file.read_rows(written).values() if r["psnr_deblurred"] < 99]
    assert len(others) == COUNT - count
    for key in ("psnr_blurry", "psnr_deblurred", "ssim_deblurred"):
        expected = pytest.approx(np.mean([r[key] for r in others])) if others else None
        assert row.means[key] == expected
    assert (sentence := row.identical_text).startswith(f"all {COUNT}" if not others else str(count))
    printed = capsys.readouterr().out
    assert sentence in printed
    assert sentence in (written / "report.html").read_text()
    for kind in ("markdown", "latex", "csv"):
        main(["table", str(written), f"--format={kind}"])
        printed = capsys.readouterr().out
        assert sentence in printed
        assert "inf" not in printed
        assert "nan" not in printed


def test_names_by_templates_and_with_two_suffixes(folders):
    """Named `image00_sharp.jpg.png` and `image00_out.jpg.png`."""
    for kind, name in (("sharp", "sharp"), ("results", "out")):
        for path in [*(folders / kind).iterdir()]:
            path.rename(path.with_name(f"{path.stem}_{name}.jpg.png"))
    templates = ["--sharp-template={}_sharp.jpg", "--outputs-template={}_out.jpg"]
    row, written = evaluate(folders, *templates)
    assert row.settings.images == COUNT
    assert "image00" in results_file.read_rows(written)


def test_changed_results_are_not_mixed_in(folders):
    evaluate(folders)
    image = read(folders / "results" / "image03.png")
    Image.fromarray(255 - image).save(folders / "results" / "image03.png")
    with pytest.raises(SystemExit, match=r"measured with outputs .*choose another --output"):
        evaluate(folders)


def test_a_folder_that_does_not_match_is_refused_before_anything_is_written(folders):
    (folders / "results" / "image03.png").unlink()
    with pytest.raises(SystemExit, match=r"missing: image03\.png"):
        evaluate(folders)
    assert not (folders / "evaluation").exists()


def test_failed_alignments_are_printed(folders, capsys):
    """Flat images: nothing to align."""
    for kind in ("sharp", "results"):
        for path in (folders / kind).iterdir():
            Image.fromarray(np.full((20, 24, 3), 90, np.uint8)).save(path)
    row, _ = evaluate(folders, "--protocol=realblur")
    assert row.means["ecc_failed_deblurred"] == COUNT
    assert f"alignment failed on {COUNT} of {COUNT} deblurred images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--outputs=o"], "give either --dataset or --sharp"),
        (["--outputs=o", "--sharp=s", "--dataset=gopro"], "give either --dataset or --sharp"),
        (["--outputs=o", "--sharp=s", "--data=d"], "--data goes with --dataset"),
        (["--outputs=o", "--dataset=gopro", "--blurry=b"], "--blurry goes with --sharp"),
        (["--outputs=o", "--sharp=s", "--restore=grid"], "--restore is for a --model"),
        (["--outputs=o", "--sharp=s", "--ensemble"], "--ensemble is for a --model: --outputs are"),
        (["--outputs=o", "--sharp=s", "--workers=0"], "--workers 0: at least 1"),
        (["--outputs=o", "--sharp=s", "--blurry-template={}"], "--blurry-template goes with --blu"),
        (["--model=m", "--sharp=s"], "--model needs images to restore"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message):
    with pytest.raises(SystemExit, match=message):
        main(["evaluate", *arguments])


def test_protocols_are_the_named_ones(folders):
    row, _ = evaluate(folders, "--protocol", *protocols.PROTOCOLS)
    expected = {f"{metric}_deblurred" for metric in (*protocols.METRICS, protocols.FAILED)}
    assert {key for key in row.means if key.endswith("_deblurred")} == expected
    assert row.means["psnr_float_deblurred"] == pytest.approx(
        row.means["psnr_deblurred"], rel=1e-12
    )
