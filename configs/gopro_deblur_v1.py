"""Stage 2 on GoPro: MSDI-Net, version 1, whose degradation encoder is smaller.

    python -m msdi_jax convert msdi_net.pth models/msdi
    python launch.py --config configs/gopro_deblur_v1.py --workdir runs/gopro_deblur_v1

Stage 1 here learns version 2's representation, so version 1's is taken from published weights.

Hardware: the published run had eight GPUs with a batch of eight each. Hours: not measured.
Expected on the test split: near 33.28 dB PSNR and 0.964 `ssim_3d`, the paper's figures for MSDI-Net
(tiles of 256 px, restored by "grid"); `evaluate` puts them beside either version.
"""

import ml_collections

from msdi_jax.configs import gopro_deblur


def get_config() -> ml_collections.ConfigDict:
    config = gopro_deblur.get_config()
    config.version = 1
    config.deblur.batch_size = 64
    config.deblur.degradation_from = "models/msdi"
    return config
