"""Stage 2 on RealBlur-R: MSDI-Net, version 2, with the representation of configs/gopro_reblur.py.

    msdi prepare realblur_r --from RealBlur
    python launch.py --config configs/realblur_r_deblur.py --workdir runs/realblur_r_deblur

Hardware: as configs/gopro_deblur.py. Hours: not measured.
Expected: not known. The paper reports RealBlur-J only, see `msdi_jax.evaluation.reported_results`.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    config.dataset = base.paired("realblur_r")
    # Of 182 scenes.
    config.val = 5
    config.deblur.degradation_from = "runs/gopro_reblur"
    return config
