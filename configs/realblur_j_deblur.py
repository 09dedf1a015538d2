"""Stage 2 on RealBlur-J: MSDI-Net, version 2, with the representation of configs/gopro_reblur.py.

    python -m msdi_jax prepare realblur_j --from RealBlur
    python launch.py --config configs/realblur_j_deblur.py --workdir runs/realblur_j_deblur
    python -m msdi_jax evaluate --model runs/realblur_j_deblur/model --dataset realblur_j \\
        --protocol realblur

To learn the representation on RealBlur-J too, add both of
--config.stages="('reblur', 'deblur')" --config.deblur.degradation_from=

Hardware: as configs/gopro_deblur.py. Hours: not measured.
Expected on the test split: 32.35 dB PSNR and 0.923 SSIM, the paper's figures. They are of the
protocol "realblur", which aligns each result to its sharp image; what a run reports at its end is
not aligned and reads lower.
"""

import ml_collections
from ml_collections import config_dict

from msdi_jax.configs import gopro_deblur


def get_config() -> ml_collections.ConfigDict:
    config = gopro_deblur.get_config()
    # Of 182 scenes to train on.
    config.val = 5
    config.dataset = dataset("realblur_j")
    return config


def dataset(name: str) -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "name": name,
            # A prepared set, or the root that it was prepared in.
            "directory": "prepared",
            # Folder of the unpacked download; None: the set was prepared before.
            "source": config_dict.placeholder(str),
            "accept_part": False,
            # Whether it was prepared with --raw.
            "raw": False,
        }
    )
