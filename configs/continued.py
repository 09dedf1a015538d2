"""Goes on training the model in the box, for minutes, on the embedded photographs.

    python launch.py --config configs/continued.py --workdir runs/continued

Hardware: two CPU cores. It has seen more photographs than these for hours before, so that little is
to be gained: this shows how training goes on from a model, and what a run directory holds.
"""

from pathlib import Path

import ml_collections

from configs import base

BOX = Path(__file__).resolve().parents[1] / "msdi_jax" / "box"


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    config.width = 8
    config.native_encoder = True
    config.evaluation.update({"restore": "whole", "samples": 6})
    config.deblur.update(
        {
            "start_from": str(BOX),
            "steps": 200,
            "schedule_steps": 200,
            "batch_size": 4,
            "crop": 128,
            "learning_rate": 1e-4,
            "log_every": 10,
            "held_out_every": 50,
            "held_out_images": 8,
            "checkpoint_every": 50,
        }
    )
    return config
