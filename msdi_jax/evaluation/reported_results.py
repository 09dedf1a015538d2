"""Results of published tables, to compare with; none of them was measured here.

Every row names the table it was read from. Where that is another paper's comparison table, `source`
says "as quoted by". The SSIM of `gopro` rows is whatever their source printed: for MSDI-Net it is
`ssim_3d`, for older methods the sources do not say.
"""

from collections.abc import Mapping
from typing import NamedTuple

from msdi_jax.evaluation.results_file import Settings
from msdi_jax.models import Architecture

MSDI = "Li et al., Learning Degradation Representations for Image Deblurring, ECCV 2022"
NAFNET = "Chen et al., Simple Baselines for Image Restoration, ECCV 2022, with its released weights"
HINET = "Chen et al., HINet, CVPRW 2021"
MLWNET = "as quoted by Gao et al., MLWNet, CVPR 2024, comparison table"
PROMPT = "as quoted by Wang et al., PromptRestorer, NeurIPS 2023, table 2"
DPMAMBA = "as quoted by Liu et al., DPMambaIR, arXiv:2504.17732, table II"


class PublishedRow(NamedTuple):
    """A method's results on a test set.

    Attributes:
        method: its name.
        dataset: the test set, a key of `IMAGES`.
        psnr: in dB.
        ssim: as its source printed it.
        source: the paper.
        kind: of network in this package, see `Architecture`; empty: none.
        width: of that network; None: the one that was published.
        restore: "grid" or "whole", how images were restored.
        window: side of the windows of the network's statistics, px; None: the whole tile or image.
    """

    method: str
    dataset: str
    psnr: float
    ssim: float
    source: str
    kind: str = ""
    width: int | None = None
    restore: str = "grid"
    window: int | None = None


def _nafnet(width: int, dataset: str, psnr: float, ssim: float) -> PublishedRow:
    """A NAFNet of this project's two widths, restored whole with test-time local statistics."""
    name = f"NAFNet, width {width}"
    return PublishedRow(name, dataset, psnr, ssim, NAFNET, "nafnet", width, "whole", 384)


ROWS = (
    PublishedRow("DeblurGAN", "GoPro", 28.70, 0.858, DPMAMBA),
    PublishedRow("DeblurGAN-v2", "GoPro", 29.55, 0.934, MLWNET),
    PublishedRow("SRN", "GoPro", 30.26, 0.934, PROMPT),
    PublishedRow("DBGAN", "GoPro", 31.10, 0.942, PROMPT),
    PublishedRow("MT-RNN", "GoPro", 31.15, 0.945, PROMPT),
    PublishedRow("DMPHN", "GoPro", 31.20, 0.940, PROMPT),
    PublishedRow("Suin et al.", "GoPro", 31.85, 0.948, PROMPT),
    PublishedRow("SPAIR", "GoPro", 32.06, 0.953, PROMPT),
    PublishedRow("MIMO-UNet+", "GoPro", 32.45, 0.957, PROMPT),
    PublishedRow("MPRNet", "GoPro", 32.66, 0.959, PROMPT),
    PublishedRow("Restormer", "GoPro", 32.92, 0.961, PROMPT),
    PublishedRow("Stripformer", "GoPro", 33.08, 0.962, MLWNET),
    PublishedRow("DeepRFT+", "GoPro", 33.23, 0.963, MLWNET),
    PublishedRow("HINet", "GoPro", 32.71, 0.959, HINET, "hinet"),
    _nafnet(32, "GoPro", 32.8705, 0.9606),
    PublishedRow("MSDI-Net", "GoPro", 33.28, 0.964, MSDI, "msdi_net"),
    _nafnet(64, "GoPro", 33.7103, 0.9668),
    PublishedRow("DeblurGAN-v2", "RealBlur-J", 29.69, 0.870, MLWNET),
    PublishedRow("SRN", "RealBlur-J", 31.38, 0.909, MLWNET),
    PublishedRow("MPRNet", "RealBlur-J", 31.76, 0.922, MLWNET),
    PublishedRow("MIMO-UNet+", "RealBlur-J", 31.92, 0.919, MLWNET),
    PublishedRow("BANet", "RealBlur-J", 32.00, 0.923, MLWNET),
    PublishedRow("MSSNet", "RealBlur-J", 32.10, 0.928, MLWNET),
    PublishedRow("DeepRFT+", "RealBlur-J", 32.19, 0.931, MLWNET),
    PublishedRow("MSDI-Net", "RealBlur-J", 32.35, 0.923, MSDI, "msdi_net"),
    PublishedRow("Stripformer", "RealBlur-J", 32.48, 0.929, MLWNET),
)
# Of the same paper's ablations: names of configs/ablation.py, PSNR on GoPro in dB.
ABLATIONS = {"no_degradation": 32.81, "no_reblurring": 33.09, "full": 33.28}
# Of each set: number of test images, protocol of its published tables, metrics in them.
IMAGES = {"GoPro": 1111, "RealBlur-J": 980}
PROTOCOL = {"GoPro": "gopro", "RealBlur-J": "realblur"}
METRICS = {"GoPro": ("psnr", "ssim_3d"), "RealBlur-J": ("psnr_aligned", "ssim_aligned")}


def rows_of_dataset(dataset: str, configuration: str = "") -> list[PublishedRow]:
    """The rows of a test set.

    Args:
        dataset: a folder of `data/`.
        configuration: of the prepared set. The published results of GoPro are of its `blur`, not
            `blur_gamma`.
    """
    if configuration.startswith("blur_gamma"):
        return []
    return [row for row in ROWS if _plain(row.dataset) == _plain(dataset)]


def reported_row(architecture: Architecture | None, settings: Settings) -> PublishedRow | None:
    """The row of a network on a test set, or None where nothing is reported."""
    if architecture is None or settings.split != "test":
        return None
    sizes = (architecture.kind, architecture.width), (architecture.kind, None)
    rows = rows_of_dataset(settings.dataset, settings.configuration)
    return next((row for row in rows if (row.kind, row.width) in sizes), None)


def is_complete(row: PublishedRow, settings: Settings) -> bool:
    """Return whether all images of the published test set were measured."""
    return settings.images == IMAGES[row.dataset]


def options_to_compare(
    row: PublishedRow, settings: Settings, means: Mapping[str, float]
) -> list[str]:
    """Options of `evaluate` that a comparison with `row` still takes.

    Published results are of one orientation.
    """
    matches = {
        f"--restore {row.restore}": settings.restore == row.restore,
        "--ensemble 1": settings.orientations == 1,
        f"--window {row.window or 0}": settings.window == row.window,
        f"--protocol {PROTOCOL[row.dataset]}": f"{METRICS[row.dataset][0]}_deblurred" in means,
    }
    return [option for option, matching in matches.items() if not matching]


def ablation_psnr(name: str, settings: Settings, means: Mapping[str, float]) -> float | None:
    """The PSNR of an ablation in the paper, in dB; None unless `settings` are those it has."""
    row = reported_row(Architecture("msdi_net"), settings)
    if row is None or row.dataset != "GoPro" or not is_complete(row, settings):
        return None
    return None if options_to_compare(row, settings, means) else ABLATIONS.get(name)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
