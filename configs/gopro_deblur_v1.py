"""Stage 2 on GoPro: MSDI-Net, version 1, whose degradation encoder is smaller.

    msdi convert msdi_net.pth models/msdi
    python launch.py --config configs/gopro_deblur_v1.py --workdir runs/gopro_deblur_v1

Stage 1 of this project learns the representation of version 2, so that of version 1 comes from
published weights.

Hardware: the published run used eight GPUs with a batch of eight each. Hours: not measured.
Expected on the test split: close to 33.28 dB PSNR and 0.964 `ssim_3d`, the paper's figures for
MSDI-Net (tiles of 256 px, restored by "grid"); `evaluate` prints them next to either version.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    config.version = 1
    config.dataset = base.paired("gopro")
    config.deblur.batch_size = 64
    config.deblur.degradation_from = "models/msdi"
    return config
