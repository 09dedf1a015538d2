"""Continue the training of the bundled model for minutes, on the photographs of scikit-image.

    python launch.py --config configs/continued.py --workdir runs/continued

Hardware: two CPU cores, some minutes.
Expected: hardly any gain. The model has been trained for hours on more photographs than these; this
shows how training continues from a model, and what a run directory contains.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    # The architecture of the bundled model.
    config.update({"width": 8, "native": True, "contrast": True})
    config.deblur.update({"width": 32, "depth": 3, "patch": 2})
    config.evaluation.update({"restore": "whole", "window": 256, "orientations": 2, "samples": 6})
    # One crop per step is of no use to more devices.
    config.mesh.data = 1
    config.dataset.strength = 2.4
    # As in configs/bundled.py:deblur.
    config.augmentation.update(
        {
            "exposure": 0.5,
            "gaussian_blur": 1.2,
            "defocus": 0.5,
            "noise": 0.5,
            "jpeg": 95,
            "identity": 0.1,
            "rotation": 0.5,
            "zoom": 1.25,
            "channel_shuffle": 0.3,
        }
    )
    config.deblur.update(
        {
            "start_from": "bundled",
            "steps": 200,
            "schedule_steps": 200,
            "batch_size": 1,
            "crop": 192,
            "learning_rate": 2e-5,
            "feature_weight": 0.0,
            "psnr_floor": 3e-5,
            "log_every": 10,
            "val_every": 50,
            "val_images": 8,
            "checkpoint_every": 50,
        }
    )
    return config
