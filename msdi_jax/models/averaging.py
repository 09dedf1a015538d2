"""Averaging: one model with the mean of the weights of several models."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from msdi_jax.models.description import joined_licences
from msdi_jax.models.model import Model
from msdi_jax.networks.functional import arrays_of
from msdi_jax.networks.layers import PowerIteration


def average(models: Sequence[Model]) -> Model:
    """Average the weights of models, each of which continued the training of another.

    On images unlike the training images, the average is often better than any of the models
    (Wortsman et al., "Model soups", ICML 2022; "Robust fine-tuning of zero-shot models", CVPR
    2022). Window and orientations are those of the first model.

    Raises:
        ValueError: the architectures differ; names the fields.
    """
    first = models[0]
    architectures = [dataclasses.asdict(model.architecture) for model in models]
    if different := [k for k in architectures[0] if len({repr(a[k]) for a in architectures}) > 1]:
        raise ValueError(f"cannot average models that differ in {', '.join(different)}")
    # NumPy, since JAX would compile a program for each shape.
    weights = [jax.device_get(arrays_of(model.network)) for model in models]
    arrays = jax.tree.map(lambda *x: sum(x) / len(x), *weights)
    graph, _ = first.architecture.abstract()
    network = nnx.merge(graph, jax.tree.map(jnp.asarray, arrays))
    vectors = nnx.state(network, PowerIteration)
    # The mean of unit vectors is shorter, and would give singular values that are too small.
    nnx.update(network, jax.tree.map(lambda x: x / jnp.linalg.norm(x), vectors))
    provenance = {"average_of": [model.description.provenance for model in models]}
    licence = joined_licences([model.description.licence for model in models])
    return Model(
        network, dataclasses.replace(first.description, provenance=provenance, licence=licence)
    )
