"""Goes on training a model on pairs of your own.

    python -m msdi_jax prepare pairs --from FOLDER  # holds blurry/ and sharp/
    python launch.py --config configs/finetune.py --workdir runs/mine \\
        --config.deblur.start_from=MODEL

MODEL is a model directory, converted from published weights or trained here, or a run directory.
Its own degradation encoder stays as it is. Where it is not version 2 of width 64, add the options
that `python -m msdi_jax summary MODEL` ends with.

Hardware: one GPU for width 64; two CPU cores do for width 8. Hours: not measured.
Expected: no published figure. The steps and the rate are a beginning, not tuned on anything: watch
the val PSNR in the report and stop where it falls.
"""

import ml_collections
from ml_collections import config_dict

from msdi_jax.configs import base


def get_config() -> ml_collections.ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    config.dataset = ml_collections.ConfigDict(
        {
            "name": "pairs",
            # A prepared set, or the root that it was prepared in.
            "directory": "prepared",
            # Folder with blurry/ and sharp/, or a CSV file; None: the set was prepared before.
            "source": config_dict.placeholder(str),
            "tile": 512,
            # Whether it was prepared with --raw.
            "raw": False,
        }
    )
    config.deblur.update(
        {
            "steps": 2000,
            "schedule_steps": 2000,
            "batch_size": 8,
            # A sixth of the rate that training from scratch begins with.
            "learning_rate": 5e-5,
            "log_every": 20,
            "val_every": 200,
            "checkpoint_every": 200,
        }
    )
    return config
