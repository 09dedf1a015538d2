"""Adam with gradient clipping and the published cosine schedule."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax
from jaxtyping import Array


class Update(NamedTuple):
    """Result of one step of the optimizer."""

    params: Any
    opt: Any
    gradient_norm: Array
    """Before clipping."""


def cosine_rate(step: Array | int, config: ml_collections.ConfigDict) -> Array:
    """Return the learning rate of the next step after `step` finished ones.

    It falls from `learning_rate` to `final_learning_rate` over `schedule_steps`.
    """
    progress = jnp.minimum(jnp.asarray(step, float) / config.schedule_steps, 1.0)
    span = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + span * (1 + jnp.cos(jnp.pi * progress)) / 2


def adam(config: ml_collections.ConfigDict) -> optax.GradientTransformation:
    """Return Adam, without a learning rate, with the parameters of a stage's settings.

    With `weight_decay`, it is AdamW: the decay is decoupled from the gradient.
    """
    adam = optax.scale_by_adam(b1=config.adam_b1, b2=config.adam_b2, eps=config.adam_eps)
    if not config.weight_decay:
        return adam
    return optax.chain(adam, optax.add_decayed_weights(config.weight_decay))


def update(
    transform: optax.GradientTransformation,
    gradients: Any,
    params: Any,
    opt: Any,
    *,
    rate: Any,
    clip_norm: float,
) -> Update:
    """Do one step of the optimizer. Clipping divides by norm + 1e-6, like PyTorch.

    Args:
        transform: the optimizer, without a learning rate.
        gradients: a tree in the structure of `params`.
        params: the parameters.
        opt: the state of `transform`.
        rate: a number, or a tree of numbers whose structure is a prefix of that of `params`.
        clip_norm: largest norm of all gradients together.
    """
    norm = optax.tree.norm(gradients)
    scale = jnp.minimum(1.0, clip_norm / (norm + 1e-6))
    gradients = jax.tree.map(lambda g: g * scale, gradients)
    directions, opt = transform.update(gradients, opt, params)
    moves = jax.tree.map(lambda r, tree: jax.tree.map(lambda d: r * d, tree), rate, directions)
    params = jax.tree.map(lambda p, m: p - m.astype(p.dtype), params, moves)
    return Update(params, opt, norm)
