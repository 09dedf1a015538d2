"""Stage 2 of the model in the box, seventh part: taught by its own mean over orientations.

    python launch.py --config configs/box_taught.py --workdir runs/box_taught

Hardware: two CPU cores, 40 minutes, after those of configs/box_focus.py.
"""

import ml_collections

from configs import box_focus, box_longer


def get_config() -> ml_collections.ConfigDict:
    config = box_focus.get_config()
    config.augmentation.sharp = 0.15
    # From step 19,000 of the sixth part, at the rate that it had there.
    box_longer.go_on(config, "runs/box_focus/model-ema", steps=9000, learning_rate=1e-4)
    # A mean over eight orientations gains a fifth more, at eight times the cost. Some of that can
    # be learned: of step 24,000 of the sixth part.
    config.deblur.update(teacher_from="runs/box_focus_24000/model-ema", teacher_weight=3.0)
    return config
