"""Folders of results, for tests of what reads them."""

from msdi_jax.evaluation import results_file
from msdi_jax.evaluation.results_file import Evaluation, Settings


def evaluated(
    folder,
    psnr,
    *,
    seed=None,
    config=None,
    dataset="gopro",
    method="",
    weights="model",
    **settings,
):
    """Results of the images of GoPro's test split, with all means at or near `psnr`."""
    known = {"configuration": "", "split": "test", "images": 1111, "restore": "grid"}
    settings = known | settings
    means = {"psnr_deblurred": psnr, "ssim_3d_deblurred": 0.96}
    deciles = {"note": "", "ranked_by": "psnr_blurry", "images": 111, "all": means}
    deciles["blurriest"] = {"psnr_deblurred": psnr - 4}
    deciles["sharpest"] = {"psnr_deblurred": psnr + 4}
    folder.mkdir(parents=True)
    evaluation = Evaluation(
        Settings(dataset, protocols=["gopro"], **settings),
        means,
        deciles,
        method=method,
        weights=weights,
        config=None if seed is None else {"seed": seed, "width": 64} | (config or {}),
    )
    results_file.write(folder, evaluation)
    return folder
