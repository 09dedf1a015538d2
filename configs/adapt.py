"""Adapt a deblurring model to the blur of photographs that have no sharp partners.

    msdi adapt --blurry MINE --workdir runs/mine

It makes pairs of sharp photographs and the blur of yours, and then trains on them:

    python launch.py --config configs/adapt.py --workdir runs/mine/run \\
        --config.dataset.source=runs/mine/pairs/pairs.csv --config.deblur.start_from=MODEL

with the fields of MODEL's architecture, which it prints.

Hardware: two CPU cores for the bundled model. Hours: not measured.
Expected: not measured yet. Steps and learning rate are not tuned.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    config.dataset = base.paired("pairs")
    config.evaluation.update({"restore": "whole", "samples": 6})
    # Few crops per step are of no use to more devices.
    config.mesh.data = 1
    config.augmentation.update(
        {
            "exposure": 0.5,
            "noise": 0.5,
            "jpeg": 95,
            # Against damage to what is sharp already.
            "identity": 0.1,
            "rotation": 0.5,
            "zoom": 1.25,
            "channel_shuffle": 0.3,
        }
    )
    config.deblur.update(
        {
            "steps": 400,
            "schedule_steps": 400,
            "batch_size": 2,
            "crop": 192,
            "learning_rate": 1e-4,
            # The loss is PSNR alone.
            "feature_weight": 0.0,
            "psnr_floor": 3e-5,
            "log_every": 10,
            "val_every": 100,
            "val_images": 8,
            "checkpoint_every": 50,
        }
    )
    return config
