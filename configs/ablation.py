"""What each part of the method is worth, at the size of the quickstart.

    python launch.py --config configs/ablation.py:no_degradation --workdir runs/ablation/none
    python -m msdi_jax table runs/ablation/*

The name after the colon is one of `VARIANTS`. Published, on GoPro and at full size: 32.81 dB
without the representation, 33.09 dB with one that was learnt without reblurring, 33.28 dB in full.
To repeat them there, take configs/gopro_deblur.py with the field that is changed here.

Hardware: two CPU cores, some ten minutes each. What that gives: docs/explore.md.
"""

import ml_collections

from msdi_jax.configs import quickstart

VARIANTS = {
    "full": {},
    # Skips as they are; all else, the loss on the encoder's features too, stays.
    "no_degradation": {"deblur.injected": ()},
    # The encoder learns from deblurring alone.
    "no_reblurring": {"reblur.adversarial": False, "reblur.perceptual_weight": 0.0},
    # The coarsest map only.
    "single_scale": {"deblur.injected": (3,)},
    # Stage 2 goes on training the encoder.
    "trained_encoder": {"deblur.train_encoder": True},
}


def get_config(name: str = "full") -> ml_collections.ConfigDict:
    if name not in VARIANTS:
        raise ValueError(f"there is no ablation {name!r}: choose one of {', '.join(VARIANTS)}")
    config = quickstart.get_config()
    config.update_from_flattened_dict({"ablation": name, **VARIANTS[name]})
    return config
