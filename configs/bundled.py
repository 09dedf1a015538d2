"""The training of the bundled model, msdi_jax/models/bundled: both networks from a clean checkout.

Unpack into `unpacked` the packages that data/open_photographs.py lists. Then:

    python -m msdi_jax.data.open_photographs --source unpacked --target photographs_1
    python launch.py --config configs/bundled.py:reblur --workdir runs/bundled/reblur

    python -m msdi_jax.data.open_photographs --source unpacked --target photographs_4 --part 4
    python -m msdi_jax.data.synthesis.cables --folder photographs_4/train
    python launch.py --config configs/bundled.py:deblur --workdir runs/bundled/deblur

    msdi compact runs/bundled/reblur/model-reblur bundled/model-reblur
    msdi compact runs/bundled/deblur/model-ema bundled/model

`reblur` has the settings that the bundled reblurring network was trained with.
`deblur` was NOT trained to its end as it stands here. The bundled deblurring network was trained in
six parts with growing crops and more photographs in each; docs/notes/bundled-weights.md records
them. This page has the settings of the last part, the steps of all six, and one schedule.

Hardware: two CPU cores. `reblur`: 46 minutes. `deblur`: about six hours, estimated from the speed
of the parts.
Expected on test photographs: `reblur`, on 18 crops, 29.3 dB reblurred and 26.5 dB deblurred.
`deblur`: not known; the bundled network gains 1.04 dB on the 54 test pairs, docs/model_card.md.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base

VARIANTS = ("reblur", "deblur")


def get_config(name: str = "reblur") -> ConfigDict:
    if name not in VARIANTS:
        raise ValueError(f"there is no stage {name!r}: choose one of {', '.join(VARIANTS)}")
    config = base.get_config()
    config.stages = (name,)
    # Both networks of width 8 fit into 16 MB as bfloat16.
    config.width = 8
    # The published encoder and initial weights need far more steps; docs/notes/representation.md.
    config.update({"native": True, "contrast": True, "initial": "calibrated"})
    # Cameras average linear light; the frames of published data sets were averaged as encoded.
    config.dataset.update({"domain": "both", "train_pairs": 96, "test_pairs": 9})
    config.evaluation.update({"restore": "whole", "samples": 12})
    return _reblur(config) if name == "reblur" else _deblur(config)


def _reblur(config: ConfigDict) -> ConfigDict:
    # "mean" suits deblurring better; this network was trained before it existed.
    config.dataset.update({"photographs": "photographs_1", "anchor": "middle"})
    config.augmentation.update(
        {"exposure": 0.5, "noise": 1.0, "jpeg": 90, "identity": 0.1, "windows": 2}
    )
    config.reblur.update(
        {
            "steps": 3000,
            "schedule_steps": 3000,
            "learning_rate": 1e-3,
            "crop": 96,
            "batch_size": 24,
            "generated": 8,
            "shared_blur": True,
            "motion_weight": 1.0,
            # In so few steps a discriminator teaches one blur for all images. Without it and
            # without VGG19, L1 compares the reblurred image.
            "adversarial": False,
            "reblur_l1_weight": 10.0,
            "degradation_rate": 0.1,
            "log_every": 20,
            "val_every": 250,
            "val_images": 18,
            "checkpoint_every": 250,
        }
    )
    return config


def _deblur(config: ConfigDict) -> ConfigDict:
    # 2.4 px in a frame of 384 px are 8 px in one of 1280. Twice that takes far more steps.
    config.dataset.update({"photographs": "photographs_4", "strength": 2.4})
    config.augmentation.update(
        {
            "exposure": 0.5,
            # Photographs reduced to frames are sharp to the pixel. A network that has seen no
            # others also sharpens what is soft, such as fur.
            "gaussian_blur": 1.2,
            # A network that has seen few photographs with a soft background deblurs it.
            "defocus": 0.5,
            "noise": 0.5,
            "jpeg": 95,
            "identity": 0.1,
            # Against learning the lines and textures of 81 photographs by heart.
            "rotation": 0.5,
            "zoom": 1.25,
            "channel_shuffle": 0.3,
        }
    )
    config.evaluation.update({"window": 256, "orientations": 2})
    # One crop per step is of no use to more devices.
    config.mesh.data = 1
    config.deblur.update(
        {
            "degradation_from": "runs/bundled/reblur",
            # At half the resolution, wide U-Nets of few levels cost little more than narrow, deep
            # ones.
            "width": 32,
            "depth": 3,
            "patch": 2,
            # About as large as the frames: the statistics of small crops differ from those of
            # whole images.
            "crop": 192,
            "batch_size": 1,
            "steps": 93_000,
            "schedule_steps": 93_000,
            # Between the 2e-3 of the first part, which had eight crops of 64 px per step, and the
            # 6e-4 of the last.
            "learning_rate": 1e-3,
            "ema_decay": 0.9997,
            "psnr_floor": 3e-5,
            "feature_weight": 0.0,
            "log_every": 100,
            "val_every": 1000,
            "val_images": 54,
            "checkpoint_every": 500,
        }
    )
    return config
