"""Stage 1 on GoPro: the degradation representation, learned by reblurring and deblurring.

    msdi prepare gopro --from GOPRO_Large
    python launch.py --config configs/gopro_reblur.py --workdir runs/gopro_reblur \\
        --config.reblur.vgg_weights=vgg19-dcbb9e9d.pth

Hardware: the published run used eight GPUs with a batch of four each. Hours: not measured.
Expected: no figure is published for this stage; configs/gopro_deblur.py builds on it.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.stages = ("reblur",)
    config.dataset = base.paired("gopro")
    # Of 22 sequences.
    config.val = 2
    return config
