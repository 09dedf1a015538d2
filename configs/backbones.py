"""Networks at equal cost and equal training, with and without the representation.

    python launch.py --config configs/backbones.py:nafnet --workdir runs/backbones/nafnet_0
    python launch.py --config configs/backbones.py:nafnet --config.seed=1 \\
        --workdir runs/backbones/nafnet_1
    msdi table runs/backbones/*

The name after the colon is one of `VARIANTS`. Each network multiplies 3.9 to 4.2 billion times for
an image of 256×256 px. The representation is that of the bundled reblurring model, frozen.

Hardware: one CPU core, 12 to 22 minutes each for the first, second and fifth, two runs at a time.
Results: not measured yet; docs/notes/backbones.md has a first try with other settings.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base

_BLOCKS = (1, 1, 1, 24, 1, 1, 1, 1, 1)
_MODULATED = {
    "deblur.network": "modulated_nafnet",
    "deblur.width": 14,
    "deblur.blocks": _BLOCKS,
    # The finest level would take a sixth of the cost.
    "deblur.injected": (1, 2, 3),
    "hidden": 16,
}
VARIANTS = {
    "msdi_net": {"deblur.width": 7},
    "hinet": {"deblur.network": "hinet", "width": 10},
    "nafnet": {"deblur.network": "nafnet", "width": 16},
    "modulated_nafnet": _MODULATED,
    # Control: the same network sees the representation of another image.
    "unrelated": {**_MODULATED, "deblur.unrelated_degradation": True},
}


def get_config(name: str = "modulated_nafnet") -> ConfigDict:
    if name not in VARIANTS:
        raise ValueError(f"there is no network {name!r}: choose one of {', '.join(VARIANTS)}")
    config = base.get_config()
    config.stages = ("deblur",)
    # Of the bundled encoder, like `native` and `contrast` below.
    config.width = 8
    # With the published initial weights, 700 steps only lead to the input itself.
    config.initial = "calibrated"
    # That of configs/bundled.py:deblur: at 4, the default, nothing is gained in so few steps.
    config.dataset.update({"domain": "both", "strength": 2.4, "train_pairs": 96, "test_pairs": 24})
    # Against learning two photographs by heart.
    config.augmentation.update(
        {"exposure": 0.5, "noise": 0.5, "rotation": 0.5, "zoom": 1.25, "channel_shuffle": 0.3}
    )
    # Half as large again as the crops, as NAFNet's authors choose it.
    config.evaluation.update({"restore": "whole", "window": 144, "samples": 6})
    config.deblur.update(
        {
            "steps": 700,
            "schedule_steps": 700,
            "batch_size": 4,
            "crop": 96,
            "learning_rate": 1e-3,
            # The loss is PSNR alone.
            "feature_weight": 0.0,
            "psnr_floor": 1e-4,
            "log_every": 20,
            "val_every": 350,
            "val_images": 48,
            "checkpoint_every": 50,
        }
    )
    config.update_from_flattened_dict(VARIANTS[name])
    if config.deblur.network in ("msdi_net", "modulated_nafnet"):
        config.update({"native": True, "contrast": True})
        config.deblur.degradation_from = "bundled"
    return config
