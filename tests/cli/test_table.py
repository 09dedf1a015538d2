"""Formats of the table command."""

import csv
import io

import pytest

from msdi_jax.cli.main import main
from tests.evaluated_folders import evaluated


def printed(capsys, *arguments):
    main(["table", *map(str, arguments)])
    return capsys.readouterr().out


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
    assert r"100 \% \& more\_ & grid, 1 orientation & 33.00" in body
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
