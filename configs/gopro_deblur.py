"""Stage 2 on GoPro: MSDI-Net, version 2, with the representation of configs/gopro_reblur.py.

    python launch.py --config configs/gopro_deblur.py --workdir runs/gopro_deblur

Hardware: the published run used eight GPUs with a batch of three each. Hours: not measured.
Expected on the test split: 33.28 dB PSNR and 0.964 `ssim_3d`, the paper's figures for MSDI-Net
(tiles of 256 px, restored by "grid").
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    config.dataset = base.paired("gopro")
    # Of 22 sequences.
    config.val = 2
    config.deblur.degradation_from = "runs/gopro_reblur"
    return config
