"""Square images, turned and flipped inside a step."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from msdi_jax.mesh import by_rows


def draw(key: Array) -> Bool[Array, "3"]:
    """One of the eight orientations: whether to exchange rows and columns, rows, columns."""
    return jax.random.bernoulli(key, shape=(3,))


def turned(
    images: Float[Array, "b s s c"], orientation: Bool[Array, "3"]
) -> Float[Array, "b s s c"]:
    exchange, rows, columns = orientation
    images = jnp.where(exchange, images.swapaxes(1, 2), images)
    images = jnp.where(rows, images[:, ::-1], images)
    return by_rows(jnp.where(columns, images[:, :, ::-1], images))


def turned_back(
    images: Float[Array, "b s s c"], orientation: Bool[Array, "3"]
) -> Float[Array, "b s s c"]:
    """The inverse of `turned`."""
    exchange, rows, columns = orientation
    images = jnp.where(columns, images[:, :, ::-1], images)
    images = jnp.where(rows, images[:, ::-1], images)
    return by_rows(jnp.where(exchange, images.swapaxes(1, 2), images))
