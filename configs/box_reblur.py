"""A small representation from open photographs, by plain distances alone: the plainest stage 1.

    python launch.py --config configs/box_reblur.py --workdir runs/box_reblur

Hardware: two CPU cores, 35 minutes. The folder `open_photographs` is made once as
data/open_photographs.py says. configs/twins.py, which the model in the box has, is a better one.
"""

import ml_collections

from msdi_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.stages = ("reblur",)
    # 16 MB hold both networks of width 8 as bfloat16 (`python -m msdi_jax compact`).
    config.width = 8
    # The published encoder and initialisation need far more steps than a CPU has; docs/explore.md.
    config.native = True
    config.initial = "calibrated"
    config.dataset.update(
        {
            "photographs": "open_photographs",
            "train_pairs": 96,
            "test_pairs": 9,
            # Real cameras average light; the frames of published sets are averaged as encoded.
            "domain": "both",
            # The joint network in the box was trained before there was a choice; "mean" is better.
            "anchor": "middle",
        }
    )
    config.augmentation.update({"exposure": 0.5, "noise": 1.0, "jpeg": 80, "identity": 0.15})
    config.evaluation.update({"restore": "whole", "samples": 12})
    # Without VGG19's weights nothing but the discriminator would compare reblurred with blurry, and
    # in so few steps it taught the network one blur for all. The plain distance teaches it more.
    config.reblur.update(
        few(
            3500,
            learning_rate=1e-3,
            adversarial=False,
            reblur_l1_weight=10.0,
            degradation_rate=0.03,
        )
    )
    return config


def few(steps: int, **fields) -> dict:
    """Of a training of thousands of steps, not of hundreds of thousands."""
    return {
        "steps": steps,
        "schedule_steps": steps,
        "batch_size": 4,
        "crop": 128,
        "log_every": 20,
        "val_every": 250,
        "val_images": 18,
        "checkpoint_every": 250,
        **fields,
    }
