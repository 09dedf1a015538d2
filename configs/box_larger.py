"""Stage 2 of the model in the box, third part: larger crops, three times the photographs.

    python launch.py --config configs/box_larger.py --workdir runs/box_larger

Hardware: two CPU cores, 50 minutes, after those of configs/box_longer.py. Then

    python -m msdi_jax mean runs/box_longer/model-ema runs/box_larger/model-ema runs/box_mean

and configs/box_whole.py goes on from that mean.
"""

import ml_collections

from msdi_jax.configs import box_longer


def get_config() -> ml_collections.ConfigDict:
    config = box_longer.get_config()
    # Made as data/open_photographs.py says.
    config.dataset.photographs = "photographs_3"
    # A network that has only seen crops of 64 px does better on pieces of a photograph than on all
    # of it, whose statistics are others.
    config.deblur.update(crop=128, batch_size=2)
    box_longer.go_on(config, "runs/box_longer/model-ema", steps=14_000, learning_rate=8e-4)
    return config
