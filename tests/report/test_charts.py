import re
from xml.etree import ElementTree

import numpy as np
import pytest

from msdi_jax.report import charts
from msdi_jax.report.reading import Curve


@pytest.mark.parametrize(
    ("count", "value"), [(1, 0.0), (5, 7.0), (1000, 1e-9), (1000, -24.0), (3, 1e12)]
)
def test_flat_curves_can_be_drawn(count, value):
    curve = Curve({10 * step: value for step in range(count)}, {})
    figure = ElementTree.fromstring(charts.curve_chart("psnr_loss", curve))
    lines = [line.get("points") for line in figure.iter("polyline")]
    heights = {float(point.split(",")[1]) for line in lines for point in line.split()}
    assert heights == {(charts.TOP + charts.BOTTOM) / 2}


def test_ticks_are_round_and_within_range():
    assert [label for _, label in charts.ticks(0, 0.55)] == [
        "0.0",
        "0.1",
        "0.2",
        "0.3",
        "0.4",
        "0.5",
    ]
    assert [label for _, label in charts.ticks(-24.4, -20.9)] == [
        "−24.0",
        "−23.5",
        "−23.0",
        "−22.5",
        "−22.0",
        "−21.5",
        "−21.0",
    ]
    assert [tick for tick, _ in charts.ticks(0, 2, whole=True)] == [0, 1, 2]
    assert charts.ticks(0, 400_000)[-1] == (400_000, "400k")


def test_an_axis_with_two_decades_is_logarithmic():
    axes = charts.Axes((0, 1), (0.0, 2.0), log=True)
    assert axes.y(1) == charts.BOTTOM
    assert axes.y(10) == (charts.TOP + charts.BOTTOM) / 2
    assert axes.y(100) == charts.TOP


def test_a_histogram_counts():
    """Bins of 2 dB: of the blurry 3, 0, 1, 1 images."""
    series = {"blurry": [20.5, 21.0, 21.9, 24.1, 27.0], "deblurred": [23.0, 23.0, 25.0, 26.0, 29.9]}
    figure = ElementTree.fromstring(charts.histogram("PSNR", "dB", series))
    paths = {path.get("class"): path.get("d") for path in figure.iter("path") if path.get("class")}
    assert list(paths) == ["filled", "outline"]
    edges = charts.bin_edges([value for values in series.values() for value in values])
    np.testing.assert_allclose(edges, [20, 22, 24, 26, 28, 30])
    for kind, values in zip(("outline", "filled"), series.values(), strict=True):
        heights = [float(y) for y in re.findall(r"V([\d.]+)", paths[kind])][:-1]
        counts = np.histogram(values, edges)[0]
        most = 1.05 * 3
        expected = charts.BOTTOM - counts / most * (charts.BOTTOM - charts.TOP)
        np.testing.assert_allclose(heights, expected, atol=0.06)


@pytest.mark.parametrize("values", [[7.0], [7.0] * 50, [0.0], [1e-6, 2e-6], [-3.0, 4.0]])
def test_bins_hold_all_values(values):
    edges = charts.bin_edges(values)
    assert np.histogram(values, edges)[0].sum() == len(values)
    assert len(edges) < 50
