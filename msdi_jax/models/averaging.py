"""One model whose weights are the mean of several models' weights."""

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
    """Average the weights of models that continued one another's training.

    The average often does better on images unlike the training's than any of them (Wortsman et al.,
    "Model soups", ICML 2022; "Robust fine-tuning of zero-shot models", CVPR 2022). Window and
    orientations are those of the first.

    Raises:
        ValueError: when their architectures differ, naming the fields.
    """
    first = models[0]
    architectures = [dataclasses.asdict(model.architecture) for model in models]
    if different := [k for k in architectures[0] if len({repr(a[k]) for a in architectures}) > 1]:
        raise ValueError(f"models that differ in {', '.join(different)} have no average")
    # By NumPy, since JAX would compile a program for each shape.
    weights = [jax.device_get(arrays_of(model.network)) for model in models]
    arrays = jax.tree.map(lambda *x: sum(x) / len(x), *weights)
    graph, _ = first.architecture.abstract()
    network = nnx.merge(graph, jax.tree.map(jnp.asarray, arrays))
    vectors = nnx.state(network, PowerIteration)
    # Singular values read off shorter vectors would be too small.
    nnx.update(network, jax.tree.map(lambda x: x / jnp.linalg.norm(x), vectors))
    provenance = {"average_of": [model.description.provenance for model in models]}
    licence = joined_licences([model.description.licence for model in models])
    return Model(
        network, dataclasses.replace(first.description, provenance=provenance, licence=licence)
    )
