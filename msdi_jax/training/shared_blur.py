"""Stage 1 on pairs with a shared blur: each image is reblurred by the other's representation."""

import jax
import ml_collections
from jax.sharding import Mesh

from msdi_jax.data.photographs import find_photographs
from msdi_jax.data.records import read_settings
from msdi_jax.data.synthesis.shared_blur import check_photograph_sizes
from msdi_jax.networks.degradation import Degradation


def check_shared_blur(config: ml_collections.ConfigDict, mesh: Mesh) -> None:
    """Raise ValueError if `shared_blur`, or a field that depends on it, cannot be used."""
    settings = config.reblur
    if min(settings.motion_weight, settings.generated) < 0:
        raise ValueError(
            f"reblur.motion_weight={settings.motion_weight:g} and reblur.generated="
            f"{settings.generated} must be at least 0"
        )
    if not settings.shared_blur:
        for field in ("motion_weight", "generated"):
            if settings[field]:
                raise ValueError(
                    f"reblur.{field}={settings[field]:g} needs pairs that share a blur: set "
                    f"reblur.shared_blur=True or reblur.{field}=0"
                )
        return
    if config.dataset.name != "camera_shake":
        raise ValueError(
            f"reblur.shared_blur=True blurs photographs, but {config.dataset.name!r} holds pairs: "
            "set dataset.name='camera_shake' or reblur.shared_blur=False"
        )
    if settings.motion_weight and not config.native:
        raise ValueError(
            f"reblur.motion_weight={settings.motion_weight:g} needs the native encoder, since "
            "the norms of the published one remove the motion: set native=True or "
            "reblur.motion_weight=0"
        )
    if settings.accumulate > 1:
        raise ValueError(
            f"reblur.accumulate={settings.accumulate} would separate images that share a blur: "
            "set reblur.accumulate=1 or reblur.shared_blur=False"
        )
    _check_generated(config, mesh)


def check_photographs(config: ml_collections.ConfigDict) -> None:
    """Raise ValueError if the photographs of shared-blur pairs are too small for the crops."""
    if not config.reblur.shared_blur:
        return
    shakes = read_settings(config.dataset.to_dict())
    check_photograph_sizes(find_photographs(shakes.photographs).train, shakes, config.reblur.crop)


def _check_generated(config: ml_collections.ConfigDict, mesh: Mesh) -> None:
    settings = config.reblur
    pairs = 2 * mesh.shape["data"]
    generated = settings.generated or settings.batch_size
    if generated % pairs or settings.batch_size % generated:
        raise ValueError(
            f"reblur.batch_size={settings.batch_size} must be a multiple of "
            f"reblur.generated={generated}, and both of {pairs}, two per device, so that "
            "images that share a blur stay together"
        )


def choose_pairs(arrays, settings: ml_collections.ConfigDict):
    """Select the pairs of a batch that the generators process, equally many on every device."""
    count = settings.generated or settings.batch_size
    every = settings.batch_size // count
    return jax.tree.map(
        lambda x: x.reshape(-1, every, 2, *x.shape[1:])[:, 0].reshape(-1, *x.shape[1:]), arrays
    )


def exchange(degradation: Degradation) -> Degradation:
    """Swap the representations of images 2k and 2k + 1 of a batch."""
    return jax.tree.map(
        lambda x: x.reshape(-1, 2, *x.shape[1:])[:, ::-1].reshape(x.shape), degradation
    )
