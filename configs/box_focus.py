"""Stage 2 of the model in the box, sixth part: photographs of which parts are out of focus.

    python launch.py --config configs/box_focus.py --workdir runs/box_focus

Hardware: two CPU cores, some hours, after those of configs/box_diverse.py.
"""

import ml_collections

from configs import box_diverse, box_longer


def get_config() -> ml_collections.ConfigDict:
    config = box_diverse.get_config()
    # Most of the photographs are of landscapes and buildings, in focus to the horizon. A network
    # that has seen few others takes the smooth parts of a portrait for blurred ones.
    config.augmentation.update({"focus": 0.5, "sharp": 0.1})
    box_longer.go_on(config, "runs/box_diverse/model-ema", steps=26_000, learning_rate=6e-4)
    return config
