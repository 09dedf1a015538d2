"""Stage 2 of the model in the box, sixth part: crops partly out of focus, and cables.

    python -m msdi_jax.data.open_photographs --source unpacked --target photographs_5 --part 4
    python -m msdi_jax.data.synthesis.cables --folder photographs_5/train
    python launch.py --config configs/box_focus.py --workdir runs/box_focus

Hardware: two CPU cores, 80 minutes beside other work, after those of configs/box_diverse.py.
"""

import ml_collections

from msdi_jax.configs import box_diverse, box_longer


def get_config() -> ml_collections.ConfigDict:
    config = box_diverse.get_config()
    # With pairs of thin lines that are no motion, see data/synthesis/cables.py.
    config.dataset.photographs = "photographs_5"
    # Most of the photographs are of landscapes and buildings, in focus to the horizon. A network
    # that has seen few others takes the smooth parts of a portrait for blurred ones.
    config.augmentation.update({"defocus": 0.5, "identity": 0.1})
    config.evaluation.orientations = 2
    box_longer.go_on(config, "runs/box_diverse/model-ema", steps=19_000, learning_rate=6e-4)
    # As in configs/box_diverse.py.
    config.deblur.schedule_steps = 26_000
    return config
