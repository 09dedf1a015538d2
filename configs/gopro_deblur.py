"""Stage 2 on GoPro: MSDI-Net, version 2, with the representation of configs/gopro_reblur.py.

    python launch.py --config configs/gopro_deblur.py --workdir runs/gopro_deblur

Hardware: the published run had eight GPUs with a batch of three each. Hours: not measured.
Expected on the test split: 33.28 dB PSNR and 0.964 `ssim_3d`, the paper's figures for MSDI-Net
(tiles of 256 px, restored by "grid").
"""

import ml_collections

from msdi_jax.configs import base, gopro_reblur


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    # Of 22 sequences to train on.
    config.val = 2
    config.dataset = gopro_reblur.dataset()
    config.deblur.degradation_from = "runs/gopro_reblur"
    return config
