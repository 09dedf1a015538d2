"""Stage 2 of the model in the box, fourth part: crops about as large as the frames.

    python launch.py --config configs/box_whole.py --workdir runs/box_whole

Hardware: two CPU cores, 46 minutes, after those of configs/box_larger.py.
"""

import ml_collections

from msdi_jax.configs import box_larger, box_longer


def get_config() -> ml_collections.ConfigDict:
    config = box_larger.get_config()
    # What is soft or sharp already is to be left as it is, also where nothing else is in sight.
    config.augmentation.update({"gaussian_blur": 1.2, "identity": 0.08, "windows": 1})
    config.evaluation.window = 256
    # Nothing is beyond the borders of a photograph either.
    config.deblur.update(crop=192, context=0, batch_size=1)
    # One crop is of no use to more devices.
    config.mesh.data = 1
    box_longer.go_on(config, "runs/box_mean", steps=11_000, learning_rate=5e-4)
    return config
