"""Stage 2 of the model in the box: MSDI-Net with the representation of configs/box_reblur.py.

    python launch.py --config configs/box_deblur.py --workdir runs/box_deblur

Hardware: two CPU cores, an hour. The result comes with the package: docs/model_card.md.
"""

import ml_collections

from configs import box_reblur


def get_config() -> ml_collections.ConfigDict:
    config = box_reblur.get_config()
    config.stages = ("deblur",)
    # Of a frame of 384 px what 8 px are of one of 1280. Blur twice as strong takes far more steps.
    config.dataset.strength = 2.4
    config.augmentation.update({"noise": 0.5, "jpeg": 95, "sharp": 0.05})
    # Eight crops of 64 px instead of four of 128: half the time per step, and as much to learn.
    config.deblur.update(
        box_reblur.few(
            7500,
            batch_size=8,
            crop=64,
            learning_rate=2e-3,
            ema_decay=0.999,
            psnr_floor=1e-4,
            feature_weight=0.0,
            held_out_images=54,
            degradation_from="runs/box_reblur",
        )
    )
    return config
