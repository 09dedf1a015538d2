"""Stage 2 on RealBlur-J: MSDI-Net, version 2, with the representation of configs/gopro_reblur.py.

    msdi prepare realblur_j --from RealBlur
    python launch.py --config configs/realblur_j_deblur.py --workdir runs/realblur_j_deblur
    msdi evaluate --model runs/realblur_j_deblur --protocol realblur

To learn the representation on RealBlur-J too, add both of
--config.stages="('reblur', 'deblur')" --config.deblur.degradation_from=

Hardware: as configs/gopro_deblur.py. Hours: not measured.
Expected on the test split: 32.35 dB PSNR and 0.923 SSIM, the paper's figures. They follow the
protocol "realblur", which aligns each result to its sharp image. A run reports unaligned figures at
its end, which are lower.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    config.dataset = base.paired("realblur_j")
    # Of 182 scenes.
    config.val = 5
    config.deblur.degradation_from = "runs/gopro_reblur"
    return config
