"""Stage 1 on GoPro: the degradation representation, learned by reblurring and deblurring.

    python -m msdi_jax prepare gopro --from GOPRO_Large
    python launch.py --config configs/gopro_reblur.py --workdir runs/gopro_reblur \\
        --config.reblur.vgg_weights=vgg19-dcbb9e9d.pth

Hardware: the published run had eight GPUs with a batch of four each. Hours: not measured.
Expected: no figure is published for this stage; configs/gopro_deblur.py builds on it.
"""

import ml_collections
from ml_collections import config_dict

from msdi_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.stages = ("reblur",)
    # Of 22 sequences to train on.
    config.val = 2
    config.dataset = dataset()
    return config


def dataset() -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {
            "name": "gopro",
            # A prepared set, or the root that it was prepared in.
            "directory": "prepared",
            # Folder of the unpacked download; None: the set was prepared before.
            "source": config_dict.placeholder(str),
            # Published figures are those of "blur", not of "blur_gamma".
            "blur": "blur",
            "accept_part": False,
            # Whether it was prepared with --raw.
            "raw": False,
        }
    )
