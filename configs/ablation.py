"""The contribution of each part of the method, at the size of configs/quickstart.py.

    python launch.py --config configs/ablation.py:no_degradation --workdir runs/ablation/none
    msdi table runs/ablation/*

The name after the colon is one of `VARIANTS`. Published on GoPro, at full size: 32.81 dB without
the representation, 33.09 dB with one that is learned without reblurring, 33.28 dB in full. To
repeat those, set the fields of the variant in configs/gopro_reblur.py and configs/gopro_deblur.py.

Hardware: two CPU cores, about ten minutes each. Results: docs/notes/representation.md.
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base

VARIANTS = {
    "full": {},
    # Skips are not modulated. All else stays, the loss on the encoder's features too.
    "no_degradation": {"deblur.injected": ()},
    # The encoder learns from deblurring alone.
    "no_reblurring": {"reblur.adversarial": False, "reblur.perceptual_weight": 0.0},
    # Only the coarsest map modulates.
    "single_scale": {"deblur.injected": (3,)},
    # Stage 2 continues to train the encoder.
    "trained_encoder": {"deblur.train_encoder": True},
}


def get_config(name: str = "full") -> ConfigDict:
    if name not in VARIANTS:
        raise ValueError(f"there is no ablation {name!r}: choose one of {', '.join(VARIANTS)}")
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
    config.update_from_flattened_dict({"ablation": name, **VARIANTS[name]})
    return config
