"""Both stages on the photographs of scikit-image: the whole recipe in minutes.

    python launch.py --config configs/quickstart.py --workdir runs/quickstart

Hardware: two CPU cores, about 8 minutes. This is far too little training to improve a photograph
that it has not seen: it shows that everything runs, and what a run directory contains.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.width = 8
    config.evaluation.update({"restore": "whole", "samples": 6})
    for stage, steps in (("reblur", 120), ("deblur", 200)):
        config[stage].update(
            {
                "steps": steps,
                "schedule_steps": steps,
                "batch_size": 4,
                "crop": 128,
                "log_every": 10,
                "val_every": 40,
                "val_images": 8,
                "checkpoint_every": 40,
            }
        )
    return config
