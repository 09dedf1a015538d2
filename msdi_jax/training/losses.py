"""Training losses of both stages. Images are [0, 1] RGB; sums are in float32 or wider."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Weights of VGG19's relu1_1 … relu5_1 in the perceptual loss (pix2pixHD).
PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


def _wide(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _check_shapes(a: Array, b: Array) -> None:
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape} and {b.shape}")


def l1(a: Array, b: Array) -> Float[Array, ""]:
    """Return the mean absolute difference.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(a, b)
    return jnp.abs(_wide(a) - _wide(b)).mean()


def motion(representation: Float[Array, "b r q c"], true: Float[Array, "b m"]) -> Float[Array, ""]:
    """Return 1 − correlation, mean over the m numbers of the true motion.

    Component k is correlated with the difference of channels k and m + k, over all cells of the
    batch. For the motion, see data/synthesis/shared_blur.py.
    """
    if len(true) != len(representation):
        raise ValueError(f"{len(representation)} representations and {len(true)} motions")
    count = true.shape[-1]
    channels = _wide(representation)
    estimate = channels[..., :count] - channels[..., count : 2 * count]
    true = jnp.broadcast_to(true[:, None, None], estimate.shape)
    estimate, true = (x - x.mean((0, 1, 2)) for x in (estimate, true))
    covariance, *variances = (
        (a * b).mean((0, 1, 2)) for a, b in ((estimate, true), (estimate, estimate), (true, true))
    )
    return (1 - covariance * jax.lax.rsqrt(variances[0] * variances[1] + 1e-8)).mean()


def psnr_loss(
    restored: Float[Array, "b h w c"], sharp: Float[Array, "b h w c"], floor: float = 1e-8
) -> Array:
    """Return the negative PSNR in dB, mean over images (HINet).

    Args:
        restored: images in [0, 1].
        sharp: images in [0, 1].
        floor: added to the mean square error. The larger it is, the less weight images have that
            are already accurate.
    """
    _check_shapes(restored, sharp)
    mse = jnp.square(_wide(restored) - _wide(sharp)).mean((1, 2, 3))
    return 10 / jnp.log(10.0) * jnp.log(mse + floor).mean()


def feature_l1(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """Return the sum of the mean absolute differences of two lists of features."""
    return sum(l1(x, y) for x, y in zip(a, b, strict=True))


def perceptual(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """Return the weighted `feature_l1` of the five VGG19 features."""
    weighted = zip(PERCEPTUAL_WEIGHTS, a, b, strict=True)
    return sum(weight * l1(x, y) for weight, x, y in weighted)


def feature_matching(fake: Sequence[Sequence[Array]], real: Sequence[Sequence[Array]]) -> Array:
    """Return the L1 of discriminator features without scores; sum over features, mean over scales.

    The real features are targets: no gradient flows into them.
    """
    scales = zip(fake, real, strict=True)
    return sum(feature_l1(f[:-1], jax.lax.stop_gradient(r[:-1])) for f, r in scales) / len(fake)


def hinge_generator(fake: Sequence[Sequence[Array]]) -> Array:
    """Return minus the mean score of fakes, averaged over scales."""
    return sum(-_wide(f[-1]).mean() for f in fake) / len(fake)


def hinge_discriminator(features: Sequence[Sequence[Array]], *, real: bool) -> Array:
    """Return mean(relu(1 ∓ score)) of real or fake pairs, averaged over scales."""
    sign = 1.0 if real else -1.0
    return sum(jax.nn.relu(1 - sign * _wide(f[-1])).mean() for f in features) / len(features)
