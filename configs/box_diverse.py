"""Stage 2 of the model in the box, fifth part: twice as many photographs, at any angle and scale.

    python -m msdi_jax mean runs/box_longer/model-ema runs/box_larger/model-ema \\
        runs/box_whole/model-ema runs/box_means
    python launch.py --config configs/box_diverse.py --workdir runs/box_diverse

Hardware: two CPU cores, 75 minutes beside other work, after those of configs/box_whole.py.
"""

import ml_collections

from msdi_jax.configs import box_longer, box_whole


def get_config() -> ml_collections.ConfigDict:
    config = box_whole.get_config()
    # Made as data/open_photographs.py says.
    config.dataset.photographs = "photographs_4"
    # What a network makes of thin lines and fur, it has from the photographs that it knows.
    config.augmentation.update({"rotation": 0.5, "zoom": 1.25, "channel_shuffle": 0.3})
    config.deblur.ema_decay = 0.9997
    box_longer.go_on(config, "runs/box_means", steps=20_000, learning_rate=6e-4)
    # Of a schedule of 30,000: at the smallest rates it learns these photographs by heart.
    config.deblur.schedule_steps = 30_000
    return config
