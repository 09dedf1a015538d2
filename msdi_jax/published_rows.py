"""Figures of the published tables, to put beside our readings.

Source: Li et al., "Learning Degradation Representations for Image Deblurring", ECCV 2022, the
comparison tables on GoPro and RealBlur-J. Its SSIM is `metrics.ssim_3d`.
"""

from typing import NamedTuple

SOURCE = "Li et al., ECCV 2022"


class PublishedRow(NamedTuple):
    """A network's figures on a test set. psnr in dB; tiles of 256 px (protocol "grid")."""

    network: str
    width: int
    dataset: str
    psnr: float
    ssim_3d: float
    images: int
    protocol: str = "grid"
    source: str = SOURCE


ROWS = (
    PublishedRow("MSDI-Net", 64, "GoPro", 33.28, 0.964, 1111),
    PublishedRow("MSDI-Net", 64, "RealBlur-J", 32.35, 0.923, 980),
)
NETWORKS = ("msdi_net", "msdi2_net")


def find(network: str, dataset: str, configuration: str = "") -> PublishedRow | None:
    """The row of a network and a data set, or None.

    Args:
        network: as in `model.Description`; the published tables hold no joint network.
        dataset: a folder of `data/`.
        configuration: of the prepared set; RealBlur's begin with "j" and "r".
    """
    if network not in NETWORKS:
        return None
    part = configuration.split("_")[0]
    names = {_plain(dataset), _plain(dataset + part)}
    return next((row for row in ROWS if _plain(row.dataset) in names), None)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
