"""python -m msdi_jax table: runs merged, published rows apart."""

import csv
import io
import json

import pytest

from msdi_jax.__main__ import main
from msdi_jax.evaluation import reported_results, table
from msdi_jax.evaluation.protocols import FIGURES


def evaluated(
    folder, psnr, *, seed=None, config=None, dataset="gopro", file="evaluation.json", **more
):
    folder.mkdir(parents=True)
    record = {
        "dataset": dataset,
        "split": "test",
        "images": 1111,
        "restore": "grid",
        "protocols": ["gopro"],
        "psnr_deblurred": psnr,
        "ssim_3d_deblurred": 0.96,
        "deciles": {
            "ranked_by": "psnr_blurry",
            "blurriest": {"psnr_deblurred": psnr - 4},
            "sharpest": {"psnr_deblurred": psnr + 4},
        },
    }
    (folder / file).write_text(json.dumps(record | more))
    if seed is not None:
        config = {"seed": seed, "width": 64} | (config or {})
        (folder / "config.json").write_text(json.dumps(config))
    return folder


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
    assert f"| s0, s1, s2 (3 seeds) | grid | {cells} |" in out


def test_where_and_how_often_make_no_other_run(tmp_path, capsys):
    """Nor do fields that a run is older than, but intervals decide which weights are best."""
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
        evaluated(tmp_path / "other", 33.2, seed=1, file="row.json", weights="model"),
        evaluated(tmp_path / "ema", 34.0, seed=0, file="row.json", weights="model-ema"),
    ]
    out = printed(capsys, *runs)
    assert "| last, other (2 seeds) | grid | 33.10 ± 0.14 |" in out
    assert "| ema | grid | 34.00 |" in out


def test_configurations_tell_in_several_ways_how_it_was_measured(tmp_path, capsys):
    runs = [
        evaluated(tmp_path / "a", 33.0, seed=0, config={"evaluation": {"window": 0}}),
        evaluated(tmp_path / "b", 34.0, seed=1, config={"evaluation": {"window": None}}),
        evaluated(tmp_path / "c", 35.0, seed=2, window=64),
    ]
    out = printed(capsys, *runs)
    assert "| a, b (2 seeds) | grid | 33.50 ± 0.71" in out
    assert "| c | grid, window 64 | 35.00" in out


def test_rows_of_one_name_tell_their_paths(tmp_path, capsys):
    method = {"file": "row.json", "method": "msdi2_net, width 8"}
    runs = [
        evaluated(tmp_path / "a", 33.0, weights="model", **method),
        evaluated(tmp_path / "b", 34.0, weights="model-ema", **method),
        evaluated(tmp_path / "c", 35.0, file="row.json", method="theirs"),
    ]
    out = printed(capsys, *runs)
    assert f"| msdi2_net, width 8: {runs[0]} | grid | 33.00" in out
    assert f"| msdi2_net, width 8: {runs[1]} | grid | 34.00" in out
    assert "| theirs | grid | 35.00" in out


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


def test_the_way_of_restoring_keeps_rows_apart(tmp_path, capsys):
    runs = [evaluated(tmp_path / f"s{seed}", 33.0, seed=seed) for seed in (0, 1)]
    record = json.loads((runs[1] / "evaluation.json").read_text())
    (runs[1] / "evaluation.json").write_text(json.dumps(record | {"restore": "whole"}))
    assert "seeds" not in printed(capsys, *runs)


def test_published_rows_are_apart_with_their_sources(tmp_path, capsys):
    measured, published = printed(capsys, evaluated(tmp_path / "run", 33.0)).split("Published, ")
    assert "MSDI-Net" not in measured
    assert "our reading of the protocol" in measured.lower()
    assert published.startswith("not measured here (1111 images):")
    for row in reported_results.of_dataset("gopro"):
        line = f"| {row.method} | {row.psnr:.2f} | {row.ssim:.3f} | {row.source} |"
        assert line in published
    assert "| MSDI-Net | 33.28 | 0.964 | Li et al." in published
    assert "RealBlur" not in published


def test_each_set_has_its_table(tmp_path, capsys):
    gopro = evaluated(tmp_path / "a", 33.0)
    shake = evaluated(tmp_path / "b", 25.0, dataset="camera_shake")
    out = printed(capsys, gopro, shake)
    assert out.count("### ") == 2
    assert out.count("Published") == 1
    out = printed(capsys, gopro, shake, "--dataset=camera_shake")
    assert "gopro" not in out
    assert "| b | grid | 25.00 |" in out
    with pytest.raises(SystemExit, match="no evaluation on 'hide': those given are on camera_shak"):
        main(["table", str(gopro), str(shake), "--dataset=hide"])


def test_sets_of_one_name_are_kept_apart(tmp_path, capsys):
    """What a run wrote and what `evaluate` wrote of one set stand together."""
    of = {"run": "blur_one", "same": "blur_one", "other": "blur_gamma_one"}
    folders = []
    for name, configuration in of.items():
        file = "evaluation.json" if name == "run" else "row.json"
        folders.append(evaluated(tmp_path / name, 32.0, file=file))
        record = json.loads((folders[-1] / file).read_text())
        (folders[-1] / file).write_text(json.dumps(record | {"configuration": configuration}))
    out = printed(capsys, *folders[:2])
    assert out.count("### ") == 1
    assert "### gopro (blur_one) test, 1111 images" in out
    tables = printed(capsys, *folders).split("### ")[1:]
    assert ["MSDI-Net" in table for table in tables] == [True, False]


def test_figures_of_evaluate_and_labels(tmp_path, capsys):
    """A folder of another method's images, named by the user."""
    folder = evaluated(tmp_path / "mpr", 32.66, file="row.json")
    assert "| mpr | grid | 32.66 |" in printed(capsys, folder)
    assert "| MPRNet (files) | grid | 32.66 |" in printed(capsys, f"MPRNet (files)={folder}")


def test_published_realblur_stands_under_the_aligned_psnr(tmp_path, capsys):
    out = printed(capsys, evaluated(tmp_path / "a", 30.0, dataset="realblur_j"))
    assert "| method | PSNR aligned, dB | SSIM as printed | source |" in out
    assert "| a | grid | 30.00 | 0.9600 | – |" in out


def test_latex(tmp_path, capsys):
    out = printed(capsys, f"100 % & more_={evaluated(tmp_path / 'a', 33.0)}", "--format=latex")
    body = out[out.index(r"\toprule") : out.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    columns = out[out.index("{tabular}{") + 10 :].split("}")[0]
    # The heading of the published rows is one cell over all.
    assert {line.count(" & ") for line in lines if "multicolumn" not in line} <= {
        len(columns) - 1,
        len(columns),
    }
    assert rf"\multicolumn{{{len(columns)}}}{{l}}{{\emph{{Published, not measured" in body
    assert body.startswith("\\toprule\nmethod & restored & PSNR, dB & ssim\\_3d")
    assert r"100 \% \& more\_ & grid & 33.00" in body
    assert body.index("more") < body.index("Published") < body.index("MSDI-Net")
    assert r"10 \%: Our reading" in out


def test_csv_keeps_every_digit(tmp_path, capsys):
    runs = [evaluated(tmp_path / f"s{s}", p, seed=s) for s, p in ((0, 1 / 3), (1, 2 / 3))]
    rows = list(csv.DictReader(io.StringIO(printed(capsys, *runs, "--format=csv"))))
    assert (rows[0]["origin"], rows[0]["seeds"], float(rows[0]["PSNR, dB"])) == (
        "measured",
        "2",
        0.5,
    )
    assert float(rows[0]["PSNR, dB, deviation"]) == pytest.approx(2**0.5 / 6, rel=1e-12)
    assert {row["origin"] for row in rows[1:]} == {"published"}
    assert not any(row["PSNR, dB"] for row in rows[1:])
    assert "PSNR, dB, blurriest 10 % (our reading)" in rows[0]


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda a: (a / "evaluation.json").unlink(), "holds neither evaluation.json nor row.json"),
        (lambda a: (a / "evaluation.json").write_text("{"), r"evaluation\.json is damaged"),
        (lambda a: (a / "evaluation.json").write_text("{}"), r"evaluation\.json is damaged"),
    ],
)
def test_what_is_no_evaluation_is_refused(tmp_path, break_it, told):
    folder = evaluated(tmp_path / "a", 33.0)
    break_it(folder)
    with pytest.raises(SystemExit, match=told):
        main(["table", str(folder)])


def test_a_run_given_twice_is_refused(tmp_path):
    a = evaluated(tmp_path / "a", 33.0, seed=0)
    copy = evaluated(tmp_path / "copy", 33.0, seed=0)
    with pytest.raises(SystemExit, match="is given twice"):
        main(["table", str(a), f"{a}/"])
    with pytest.raises(SystemExit, match=r"a and .*copy are one run, of seed 0: give one of them"):
        main(["table", str(a), str(copy)])


def test_told():
    assert table.told([], 2) == "–"
    assert table.told([1.005], 2) == "1.00"
    assert set(reported_results.MEANT["GoPro"]) <= set(FIGURES)


def test_windows_are_no_seeds(tmp_path, capsys):
    runs = [
        evaluated(tmp_path / "a", 33.0, seed=0),
        evaluated(tmp_path / "b", 33.2, seed=0, file="row.json", window=256),
        evaluated(tmp_path / "c", 34.2, seed=1, file="row.json", window=256),
    ]
    out = printed(capsys, *runs)
    assert "| a | grid | 33.00 |" in out
    assert "| b, c (2 seeds) | grid, window 256 | 33.70 ± 0.71 |" in out
