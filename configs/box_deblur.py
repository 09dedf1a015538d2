"""Stage 2 of the model in the box: MSDI-Net with the representation of configs/box_reblur.py.

    python launch.py --config configs/box_deblur.py --workdir runs/box_deblur

Hardware: two CPU cores, 1.3 steps a second, so four to five hours; not run to the end yet.
"""

import ml_collections

from configs import box_reblur


def get_config() -> ml_collections.ConfigDict:
    config = box_reblur.get_config()
    config.stages = ("deblur",)
    config.augmentation.update({"sharp": 0.05, "jpeg": 90})
    # By PSNR, a crop of sky weighs ten times as much as one that is blurred, and 1000 steps of
    # batches this small gained nothing.
    config.deblur.update(
        box_reblur.few(
            20_000,
            learning_rate=1e-3,
            ema_decay=0.999,
            psnr_weight=0.0,
            l1_weight=10.0,
            feature_weight=0.0,
            degradation_from="runs/box_reblur",
        )
    )
    return config
