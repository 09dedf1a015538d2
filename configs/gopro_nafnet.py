"""NAFNet on GoPro, by the published recipe; the number after the colon is its width.

    python launch.py --config configs/gopro_nafnet.py:32 --workdir runs/gopro_nafnet_32

Hardware: the published runs used eight GPUs with a batch of four (width 32) or eight (width 64)
each. Hours: not measured.
Expected on the test split: 32.8705 dB and 0.9606 (width 32), 33.7103 dB and 0.9668 (width 64),
restored whole with means over windows of 384 px (TLC).
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base

# Width → steps, images per step.
RECIPES = {"32": (200_000, 32), "64": (400_000, 64)}


def get_config(width: str = "32") -> ConfigDict:
    if width not in RECIPES:
        raise ValueError(f"there is no width {width!r}: choose one of {', '.join(RECIPES)}")
    config = base.get_config()
    config.stages = ("deblur",)
    config.width = int(width)
    config.dataset = base.paired("gopro")
    # Of 22 sequences.
    config.val = 2
    config.evaluation.update({"restore": "whole", "window": 384})
    steps, batch_size = RECIPES[width]
    config.deblur.update(
        {
            "network": "nafnet",
            "steps": steps,
            "schedule_steps": steps,
            "batch_size": batch_size,
            "learning_rate": 1e-3,
            "adam_b2": 0.9,
            "weight_decay": 1e-3,
            # The loss is PSNR alone.
            "feature_weight": 0.0,
        }
    )
    return config
