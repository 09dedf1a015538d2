"""Stage 2 on RealBlur-R: MSDI-Net, version 2, with the representation of configs/gopro_reblur.py.

    python -m msdi_jax prepare realblur_r --from RealBlur
    python launch.py --config configs/realblur_r_deblur.py --workdir runs/realblur_r_deblur

Hardware: as configs/gopro_deblur.py. Hours: not measured.
Expected: not known. The paper reports RealBlur-J only, see
`msdi_jax.evaluation.reported_results`.
"""

import ml_collections

from msdi_jax.configs import gopro_deblur, realblur_j_deblur


def get_config() -> ml_collections.ConfigDict:
    config = gopro_deblur.get_config()
    # Of 182 scenes to train on.
    config.val = 5
    config.dataset = realblur_j_deblur.dataset("realblur_r")
    return config
