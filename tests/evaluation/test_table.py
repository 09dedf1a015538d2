"""python -m msdi_jax table: runs merged, published rows apart."""

import pytest

from msdi_jax.cli.main import main
from msdi_jax.evaluation import reported_results, table
from msdi_jax.evaluation.protocols import METRICS
from tests.evaluated_folders import evaluated


def printed(capsys, *arguments):
    main(["table", *map(str, arguments)])
    return capsys.readouterr().out


def test_seeds_become_one_row(tmp_path, capsys):
    """33.1, 33.2, 33.6: mean 33.30, sample deviation √0.07 = 0.26."""
    runs = [
        evaluated(tmp_path / f"s{seed}", psnr, seed=seed)
        for seed, psnr in enumerate((33.1, 33.2, 33.6))
    ]
    out = printed(capsys, *runs)
    cells = "33.30 ± 0.26 | 0.9600 ± 0.0000 | 29.30 ± 0.26 | 37.30 ± 0.26"
    assert f"| s0, s1, s2 (3 seeds) | grid, 1 orientation | {cells} |" in out


def test_fields_that_may_change_do_not_split_seeds(tmp_path, capsys):
    """Nor do fields that are off; but intervals decide which weights are best."""
    configs = [
        {"mesh": {"data": 1}, "dataset": {"directory": "/a"}, "deblur": {"val_every": 5}},
        {"mesh": {"data": 4}, "dataset": {"directory": "/b"}, "deblur": {"val_every": 6}},
        {"val": 0, "deblur": {"start_from": "", "val_every": 5}},
        {"val": 2, "deblur": {"val_every": 5}},
    ]
    for weights, rows in (("model", ["a, b, c (3 seeds)", "d"]), ("model-best", ["a, c (2", "b"])):
        runs = [
            evaluated(tmp_path / weights / name, 33.0, seed=seed, config=config, weights=weights)
            for seed, (name, config) in enumerate(zip("abcd", configs, strict=True))
        ]
        out = printed(capsys, *runs)
        assert all(f"| {row}" in out for row in rows)


def test_other_weights_of_a_run_are_no_seeds(tmp_path, capsys):
    runs = [
        evaluated(tmp_path / "last", 33.0, seed=0),
        evaluated(tmp_path / "other", 33.2, seed=1, weights="model"),
        evaluated(tmp_path / "ema", 34.0, seed=0, weights="model-ema"),
    ]
    out = printed(capsys, *runs)
    assert "| last, other (2 seeds) | grid, 1 orientation | 33.10 ± 0.14 |" in out
    assert "| ema | grid, 1 orientation | 34.00 |" in out


def test_settings_of_the_evaluation_do_not_split_seeds(tmp_path, capsys):
    """How it was measured is in the settings; the configuration may say it in several ways."""
    runs = [
        evaluated(tmp_path / "a", 33.0, seed=0, config={"evaluation": {"window": 0}}),
        evaluated(tmp_path / "b", 34.0, seed=1, config={"evaluation": {"window": None}}),
        evaluated(tmp_path / "c", 35.0, seed=2, window=64),
    ]
    out = printed(capsys, *runs)
    assert "| a, b (2 seeds) | grid, 1 orientation | 33.50 ± 0.71" in out
    assert "| c | grid, 1 orientation, window 64 | 35.00" in out


def test_rows_of_one_label_show_their_paths(tmp_path, capsys):
    method = {"method": "msdi2_net, width 8"}
    runs = [
        evaluated(tmp_path / "a", 33.0, weights="model", **method),
        evaluated(tmp_path / "b", 34.0, weights="model-ema", **method),
        evaluated(tmp_path / "c", 35.0, method="theirs"),
    ]
    out = printed(capsys, *runs)
    assert f"| msdi2_net, width 8: {runs[0]} | grid, 1 orientation | 33.00" in out
    assert f"| msdi2_net, width 8: {runs[1]} | grid, 1 orientation | 34.00" in out
    assert "| theirs | grid, 1 orientation | 35.00" in out


def test_other_differences_keep_rows_apart(tmp_path, capsys):
    runs = [
        evaluated(tmp_path / "full", 33.0, seed=0),
        evaluated(tmp_path / "narrow", 32.0, seed=1, config={"width": 32}),
        evaluated(tmp_path / "unknown", 31.0),
        evaluated(tmp_path / "unknown-too", 30.0),
    ]
    rows = [line.split(" | ") for line in printed(capsys, *runs).splitlines() if "grid" in line]
    assert [(row[0], row[2]) for row in rows] == [
        ("| full", "33.00"),
        ("| narrow", "32.00"),
        ("| unknown", "31.00"),
        ("| unknown-too", "30.00"),
    ]


@pytest.mark.parametrize("setting", [{"restore": "whole"}, {"orientations": 2}])
def test_restoration_settings_keep_rows_apart(tmp_path, capsys, setting):
    first = evaluated(tmp_path / "s0", 33.0, seed=0)
    second = evaluated(tmp_path / "s1", 33.0, seed=1, **setting)
    assert "seeds" not in printed(capsys, first, second)


def test_published_rows_are_apart_with_their_sources(tmp_path, capsys):
    measured, published = printed(capsys, evaluated(tmp_path / "run", 33.0)).split("Published, ")
    assert "MSDI-Net" not in measured
    assert "our reading of the protocol" in measured.lower()
    assert published.startswith("not measured here (1111 images):")
    for row in reported_results.rows_of_dataset("gopro"):
        line = f"| {row.method} | {row.psnr:.2f} | {row.ssim:.3f} | {row.source} |"
        assert line in published
    assert "| MSDI-Net | 33.28 | 0.964 | Li et al." in published
    assert "RealBlur" not in published


def test_a_part_of_a_set_is_not_compared_with_published_rows(tmp_path, capsys):
    out = printed(capsys, evaluated(tmp_path / "part", 33.0, images=20))
    assert "| part | grid, 1 orientation | 33.00" in out
    assert "Published" not in out


@pytest.mark.parametrize(
    ("settings", "comparable"),
    [
        ({}, True),
        ({"dataset": "camera_shake"}, False),
        ({"dataset": "realblur_j", "images": 980}, False),
        ({"restore": "whole"}, False),
        ({"orientations": 8}, False),
        ({"images": 20}, False),
        ({"split": "train"}, False),
    ],
)
def test_ablations_of_the_paper_stand_beside_comparable_ones_only(
    tmp_path, capsys, settings, comparable
):
    config = {"ablation": "no_degradation"}
    out = printed(capsys, evaluated(tmp_path / "a", 30.0, seed=0, config=config, **settings))
    assert ("published, GoPro" in out.splitlines()[2]) == comparable
    assert (out.splitlines()[4].endswith("| 32.81 |")) == comparable


def test_each_set_has_its_table(tmp_path, capsys):
    gopro = evaluated(tmp_path / "a", 33.0)
    shake = evaluated(tmp_path / "b", 25.0, dataset="camera_shake")
    out = printed(capsys, gopro, shake)
    assert out.count("### ") == 2
    assert out.count("Published") == 1
    out = printed(capsys, gopro, shake, "--dataset=camera_shake")
    assert "gopro" not in out
    assert "| b | grid, 1 orientation | 25.00 |" in out
    with pytest.raises(SystemExit, match="no evaluation on 'hide': those given are on camera_shak"):
        main(["table", str(gopro), str(shake), "--dataset=hide"])


def test_sets_of_one_name_are_kept_apart(tmp_path, capsys):
    """By their configurations."""
    names = {"run": "blur_one", "same": "blur_one", "other": "blur_gamma_one"}
    folders = [evaluated(tmp_path / name, 32.0, configuration=c) for name, c in names.items()]
    out = printed(capsys, *folders[:2])
    assert out.count("### ") == 1
    assert "### gopro (blur_one) test, 1111 images" in out
    tables = printed(capsys, *folders).split("### ")[1:]
    assert ["MSDI-Net" in table for table in tables] == [True, False]


def test_labels(tmp_path, capsys):
    """A folder of another method's images, named by the user."""
    folder = evaluated(tmp_path / "mpr", 32.66)
    assert "| mpr | grid, 1 orientation | 32.66 |" in printed(capsys, folder)
    named = printed(capsys, f"MPRNet (files)={folder}")
    assert "| MPRNet (files) | grid, 1 orientation | 32.66 |" in named


def test_published_realblur_stands_under_the_aligned_psnr(tmp_path, capsys):
    out = printed(capsys, evaluated(tmp_path / "a", 30.0, dataset="realblur_j", images=980))
    assert "| method | PSNR aligned, dB | SSIM as printed | source |" in out
    assert "| a | grid, 1 orientation | 30.00 | 0.9600 | – |" in out


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), r"no .*evaluation\.json: give a run directory"),
        (lambda file: file.write_text("{"), r"evaluation\.json is damaged"),
        (lambda file: file.write_text("{}"), r"evaluation\.json is damaged"),
    ],
)
def test_folders_without_results_are_refused(tmp_path, damage, message):
    folder = evaluated(tmp_path / "a", 33.0)
    damage(folder / "evaluation.json")
    with pytest.raises(SystemExit, match=message):
        main(["table", str(folder)])


def test_a_run_given_twice_is_refused(tmp_path):
    a = evaluated(tmp_path / "a", 33.0, seed=0)
    copy = evaluated(tmp_path / "copy", 33.0, seed=0)
    with pytest.raises(SystemExit, match="is given twice"):
        main(["table", str(a), f"{a}/"])
    with pytest.raises(SystemExit, match=r"a and .*copy are one run, of seed 0: give one of them"):
        main(["table", str(a), str(copy)])


def test_format_values():
    assert table.format_values([], 2) == "–"
    assert table.format_values([1.005], 2) == "1.00"
    assert set(reported_results.METRICS["GoPro"]) <= set(METRICS)


def test_windows_are_no_seeds(tmp_path, capsys):
    runs = [
        evaluated(tmp_path / "a", 33.0, seed=0),
        evaluated(tmp_path / "b", 33.2, seed=0, window=256),
        evaluated(tmp_path / "c", 34.2, seed=1, window=256),
    ]
    out = printed(capsys, *runs)
    assert "| a | grid, 1 orientation | 33.00 |" in out
    assert "| b, c (2 seeds) | grid, 1 orientation, window 256 | 33.70 ± 0.71 |" in out
