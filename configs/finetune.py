"""Fine-tune a model on pairs of your own.

    msdi prepare pairs --from FOLDER  # holds blurry/ and sharp/
    python launch.py --config configs/finetune.py --workdir runs/mine \\
        --config.deblur.start_from=MODEL

MODEL is a model directory, converted from published weights or trained here, or a run directory.
Its degradation encoder stays frozen. If MODEL is not version 2 of width 64, add the options that
`msdi summary MODEL` ends with.

Hardware: one GPU for width 64, two CPU cores for width 8. Hours: not measured.
Expected: no published figure. Steps and learning rate are a starting point and not tuned: watch the
validation PSNR in the report, and stop where it falls.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    config.dataset = base.paired("pairs")
    config.deblur.update(
        {
            "steps": 2000,
            "schedule_steps": 2000,
            "batch_size": 8,
            # A sixth of the rate that training from scratch starts with.
            "learning_rate": 5e-5,
            "log_every": 20,
            "val_every": 200,
            "checkpoint_every": 200,
        }
    )
    return config
