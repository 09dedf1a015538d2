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
    """Results of 1111 images, with all means at or near `psnr`."""
    settings = {"configuration": "", "split": "test", "restore": "grid"} | settings
    means = {"psnr_deblurred": psnr, "ssim_3d_deblurred": 0.96}
    deciles = {"note": "", "ranked_by": "psnr_blurry", "images": 111, "all": means}
    deciles["blurriest"] = {"psnr_deblurred": psnr - 4}
    deciles["sharpest"] = {"psnr_deblurred": psnr + 4}
    folder.mkdir(parents=True)
    evaluation = Evaluation(
        Settings(dataset, images=1111, protocols=["gopro"], **settings),
        means,
        deciles,
        method=method,
        weights=weights,
        config=None if seed is None else {"seed": seed, "width": 64} | (config or {}),
    )
    results_file.write(folder, evaluation)
    return folder
