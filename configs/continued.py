"""Goes on training the model in the box, for minutes, on the embedded photographs.

    python launch.py --config configs/continued.py --workdir runs/continued

Hardware: two CPU cores. The model has seen more photographs than these three for hours, so there
is little to gain: this shows how training goes on from a model, and what a run directory holds.
"""

import ml_collections

from msdi_jax.configs import base, box_focus
from msdi_jax.models import BUNDLED


def get_config() -> ml_collections.ConfigDict:
    config = box_focus.get_config()
    config.dataset = base.get_config().dataset
    config.dataset.strength = 2.4
    config.evaluation.samples = 6
    config.deblur.update(
        {
            "start_from": str(BUNDLED),
            "degradation_from": "",
            "steps": 200,
            "schedule_steps": 200,
            "learning_rate": 2e-5,
            "log_every": 10,
            "val_every": 50,
            "val_images": 8,
            "checkpoint_every": 50,
            "ema_decay": 0.0,
        }
    )
    return config
