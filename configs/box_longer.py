"""Stage 2 of the model in the box, second part: twice the photographs, many of them made softer.

    python launch.py --config configs/box_longer.py --workdir runs/box_longer

Hardware: two CPU cores, 85 minutes beside other work, after those of configs/box_deblur.py.
"""

import ml_collections

from msdi_jax.configs import box_deblur


def get_config() -> ml_collections.ConfigDict:
    config = box_deblur.get_config()
    # Made as data/open_photographs.py says.
    config.dataset.photographs = "photographs_2"
    # Photographs reduced to frames are sharp to the pixel. A network that has only seen such
    # sharpens whatever is not, such as fur; and most photographs at full size are not.
    config.augmentation.gaussian_blur = 0.8
    # Most of a photograph is too smooth to tell how it is blurred.
    config.augmentation.windows = 2
    go_on(config, "runs/box_deblur/model-ema", steps=13_000, learning_rate=1.2e-3)
    return config


def go_on(
    config: ml_collections.ConfigDict, start: str, *, steps: int, learning_rate: float
) -> None:
    """Stage 2 from the weights of the part before, on a schedule of its own."""
    config.deblur.update(
        start_from=start,
        degradation_from=start,
        steps=steps,
        schedule_steps=steps,
        learning_rate=learning_rate,
    )
