"""Stage 1 of the model in the box: the degradation representation, from open photographs.

    python launch.py --config configs/box_reblur.py --workdir runs/box_reblur

Hardware: two CPU cores, about an hour. The folder `open_photographs` is made once as
data/open_photographs.py says; docs/model_card.md tells what the model in the box has become.
"""

import ml_collections

from configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.stages = ("reblur",)
    # 16 MB hold both networks of width 8, which share their encoder, as bfloat16 (msdi_jax/box.py).
    config.width = 8
    config.dataset.update(
        {
            "photographs": "open_photographs",
            "train_pairs": 96,
            "test_pairs": 9,
            # Real cameras average light; the frames of published sets are averaged as encoded.
            "domain": "both",
        }
    )
    config.augmentation.update({"exposure": 0.5, "noise": 2.0, "jpeg": 70})
    config.evaluation.update({"restore": "whole", "samples": 12})
    steps = 1500
    config.reblur.update(few(steps, learning_rate=4e-4))
    return config


def few(steps: int, **fields) -> dict:
    """Of a training of thousands of steps, not of hundreds of thousands."""
    return {
        "steps": steps,
        "schedule_steps": steps,
        "batch_size": 4,
        "crop": 128,
        "log_every": 20,
        "held_out_every": 250,
        "held_out_images": 18,
        "checkpoint_every": 250,
        **fields,
    }
