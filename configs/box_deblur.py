"""Stage 2 of the model in the box: MSDI-Net with the representation of configs/box_reblur.py.

    python launch.py --config configs/box_deblur.py --workdir runs/box_deblur

Hardware: two CPU cores, under two steps a second; no run to the end was made yet.
"""

import ml_collections

from configs import box_reblur


def get_config() -> ml_collections.ConfigDict:
    config = box_reblur.get_config()
    config.stages = ("deblur",)
    # Under the logarithm of PSNR an unblurred pair weighs as much as a hundred blurred ones; the
    # representation tells them apart from the first step on.
    config.augmentation.update({"sharp": 0.03, "jpeg": 90})
    config.deblur.update(
        box_reblur.few(
            5000, learning_rate=2e-3, ema_decay=0.998, degradation_from="runs/box_reblur"
        )
    )
    return config
