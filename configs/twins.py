"""Stage 1 of the joint network in the box: twins, and their true motion; docs/explore.md.

    python launch.py --config configs/twins.py --workdir runs/twins

Hardware: two CPU cores, 46 minutes beside other work. Photographs as for configs/box_reblur.py.
"""

import ml_collections

from msdi_jax.configs import box_reblur


def get_config() -> ml_collections.ConfigDict:
    config = box_reblur.get_config()
    config.contrast = True
    config.augmentation.update({"jpeg": 90, "identity": 0.1, "windows": 2})
    config.reblur.update(
        box_reblur.few(
            3000,
            batch_size=24,
            generated=8,
            crop=96,
            shared_blur=True,
            motion_weight=1.0,
            degradation_rate=0.1,
        )
    )
    return config
