"""Mix degradation representations, transfer them to other images, and view them as colours.

    joint = msdi_jax.load("runs/quickstart/model-reblur")
    levels = interpolate(joint, sharp, blurry, alphas=np.linspace(0, 1.5, 7))
    grid = transfer(joint, [blurry_1, blurry_2], [sharp_1, sharp_2, sharp_3])
    views = views_of(joint, blurry)

Images are [0, 1] RGB, (h, w, 3), of any size and possibly each of its own. Nothing here needs a
training set; all but `views_of` needs a joint network, and refuses any other.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from msdi_jax.models import Model
from msdi_jax.networks.msdi_net import LEVELS
from msdi_jax.networks.resize import resize_bilinear
from msdi_jax.restoration.restore import pad_to_multiple

Image = Float[np.ndarray, "h w 3"]


def interpolate(
    joint: Model,
    sharp: Image,
    end: Image,
    alphas: Sequence[float],
    *,
    start: Image | None = None,
) -> Float[np.ndarray, "n h w 3"]:
    """`sharp` reblurred at levels between two degradations, and beyond.

    Args:
        joint: a joint network.
        sharp: the image to blur.
        end: image whose degradation is meant by α = 1.
        alphas: levels; representations are mixed linearly.
        start: image whose degradation is meant by α = 0; the sharp one itself unless given.

    Returns:
        One [0, 1] image per level.
    """
    first, last = (
        representation(joint, image) for image in (sharp if start is None else start, end)
    )
    # A native encoder has more cells for larger images.
    last = np.asarray(resize_bilinear(last, *first.shape[1:3]))
    return np.stack([reblur(joint, sharp, (1 - a) * first + a * last) for a in alphas])


def transfer(joint: Model, blurry: Sequence[Image], sharp: Sequence[Image]) -> list[list[Image]]:
    """Every sharp image with the blur of every blurry one: a row of images per blurry one."""
    degradations = [representation(joint, image) for image in blurry]
    return [[reblur(joint, image, degradation) for image in sharp] for degradation in degradations]


def representation(model: Model, image: Image) -> Float[np.ndarray, "1 r q c"]:
    """The degradation representation of one image."""
    return np.asarray(model.degradation(image[None]).representation)


def reblur(joint: Model, sharp: Image, degradation: Float[np.ndarray, "1 r q c"]) -> Image:
    """`sharp` blurred with the representation `degradation`, clipped to [0, 1]."""
    height, width, _ = sharp.shape
    padded = pad_to_multiple(sharp)
    maps = joint.degradation_for(degradation, padded.shape[:2])
    blurred = np.asarray(joint.reblur(padded[None], maps))[0]
    return np.clip(blurred[:height, :width], 0, 1)


def views_of(model: Model, image: Image) -> dict[str, Image]:
    """Representation and maps as colours: their three main components, one picture each.

    Each picture is as large as the image. Colours compare places of one picture, nothing else:
    signs and order of principal components are arbitrary, and each picture has its own.

    Raises:
        ValueError: for an image smaller than a pixel of the coarsest map.
    """
    height, width, _ = image.shape
    if min(height, width) < (least := 2 ** LEVELS[-1]):
        raise ValueError(
            f"a picture of {height}×{width} px has no pixel of the coarsest map: give one of at "
            f"least {least}×{least} px"
        )
    degradation = model.degradation(image[None])
    arrays = {"representation": degradation.representation}
    arrays |= {f"map {level}": array for level, array in enumerate(degradation.maps)}
    return {
        name: cv2.resize(
            main_components(np.asarray(x)[0]), (width, height), interpolation=cv2.INTER_NEAREST
        )
        for name, x in arrays.items()
    }


def main_components(features: Float[np.ndarray, "r q c"]) -> Float[np.ndarray, "r q 3"]:
    """The features' first three principal components over the picture, stretched to [0, 1]."""
    rows, columns, channels = features.shape
    flat = np.pad(features.reshape(-1, channels), ((0, 0), (0, max(3 - channels, 0))))
    flat = flat.astype(np.float64) - flat.mean(0)
    _, vectors = np.linalg.eigh(flat.T @ flat)
    scores = flat @ vectors[:, ::-1][:, :3]
    low, high = np.percentile(scores, (1, 99), axis=0)
    stretched = (scores - low) / np.maximum(high - low, 1e-12)
    return stretched.clip(0, 1).reshape(rows, columns, 3).astype(np.float32)


def laid_over(view: Image, image: Image, share: float = 0.6) -> Image:
    """A view in colour over the grey image."""
    grey = luma(image)[..., None]
    return share * view + (1 - share) * grey


def gradient_energy(image: Image) -> float:
    """Mean square of the luma's forward differences: it falls as an image gets blurrier."""
    y = luma(image)
    return float(np.mean(np.diff(y, axis=0) ** 2) + np.mean(np.diff(y, axis=1) ** 2))


def sharpened(zero: Image, one: Image) -> tuple[float, float] | None:
    """The gradient energies of the levels α = 0 and α = 1 if they run backwards, else None."""
    energies = gradient_energy(zero), gradient_energy(one)
    return energies if energies[1] > energies[0] else None


def luma(image: Image) -> Float[np.ndarray, "h w"]:
    return image @ np.array([0.299, 0.587, 0.114], image.dtype)
