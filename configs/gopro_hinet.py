"""HINet on GoPro, by the published recipe.

    python launch.py --config configs/gopro_hinet.py --workdir runs/gopro_hinet

Hardware: the published run used eight GPUs with a batch of eight each. Hours: not measured.
Expected on the test split: 32.71 dB and 0.959 (tiles of 256 px, restored by "grid").
"""

from ml_collections import ConfigDict

from msdi_jax.configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.stages = ("deblur",)
    config.dataset = base.paired("gopro")
    # Of 22 sequences.
    config.val = 2
    config.deblur.update(
        {
            "network": "hinet",
            "batch_size": 64,
            "learning_rate": 2e-4,
            # The loss is PSNR alone.
            "feature_weight": 0.0,
        }
    )
    return config
