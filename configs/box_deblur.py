"""Stage 2 of the model in the box: MSDI-Net with the representation of configs/twins.py.

    python launch.py --config configs/box_deblur.py --workdir runs/box_deblur

Hardware: two CPU cores, an hour. configs/box_longer.py goes on from there.
"""

import ml_collections

from msdi_jax.configs import box_reblur


def get_config() -> ml_collections.ConfigDict:
    config = box_reblur.get_config()
    config.stages = ("deblur",)
    # As configs/twins.py, whose encoder this takes.
    config.contrast = True
    # Of a frame of 384 px what 8 px are of one of 1280. Blur twice as strong takes far more steps.
    config.dataset.strength = 2.4
    config.dataset.anchor = "mean"
    config.augmentation.update({"noise": 0.5, "jpeg": 95, "identity": 0.05})
    config.deblur.update(
        box_reblur.few(
            16_000,
            # At half the size, wide U-Nets of few levels take little longer than narrow deep ones.
            width=32,
            depth=3,
            patch=2,
            context=32,
            # Eight crops of 64 px have half the pixels of four of 128.
            batch_size=8,
            crop=64,
            learning_rate=2e-3,
            ema_decay=0.999,
            psnr_floor=3e-5,
            feature_weight=0.0,
            val_every=1000,
            val_images=54,
            checkpoint_every=500,
            log_every=100,
            degradation_from="runs/twins",
        )
    )
    return config
