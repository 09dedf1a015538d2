import pytest

from msdi_jax.evaluation import reported_results
from msdi_jax.evaluation.results_file import Settings
from msdi_jax.models import Architecture


@pytest.mark.parametrize(
    ("kind", "dataset", "configuration", "psnr"),
    [
        ("hinet", "gopro", "blur_0123", 32.71),
        ("nafnet", "gopro", "blur_0123", 33.7103),
        ("modulated_nafnet", "gopro", "blur_0123", None),
        ("msdi_net", "gopro", "blur_0123", 33.28),
        ("msdi_net", "realblur_j", "tile512_0123", 32.35),
        ("reblur_deblur_net", "gopro", "", None),
        ("msdi_net", "gopro", "blur_gamma_0123", None),
        ("msdi_net", "realblur_r", "tile512_0123", None),
        ("msdi_net", "camera_shake", "", None),
    ],
)
def test_reported_row(kind, dataset, configuration, psnr):
    settings = Settings(dataset, configuration, "test", 1, ["gopro"])
    row = reported_results.reported_row(Architecture(kind, 64), settings)
    assert (row and row.psnr) == psnr


def test_only_the_test_split_has_published_results():
    settings = Settings("gopro", "", "train", 1, ["gopro"])
    assert reported_results.reported_row(Architecture("msdi_net"), settings) is None


def test_every_published_row_names_its_source():
    assert all(
        row.source and row.dataset in reported_results.IMAGES for row in reported_results.ROWS
    )
    keys = [(row.method, row.dataset) for row in reported_results.ROWS]
    assert len(set(keys)) == len(keys)


def test_a_comparison_takes_the_options_of_the_published_result():
    """NAFNet's is of whole images with windows of 384 px, the others are of the grid."""
    settings = Settings("gopro", "", "test", 1, ["gopro"], restore="whole", window=384)
    means = {"psnr_deblurred": 30.0}
    narrow = reported_results.reported_row(Architecture("nafnet", 32), settings)
    assert narrow.psnr == 32.8705
    assert reported_results.reported_row(Architecture("nafnet", 16), settings) is None
    assert reported_results.options_to_compare(narrow, settings, means) == []
    other = reported_results.reported_row(Architecture("hinet"), settings)
    assert reported_results.options_to_compare(other, settings, means) == [
        "--restore grid",
        "--window 0",
    ]
