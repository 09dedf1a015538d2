"""A network in evaluation mode with compiled calls."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.models.architecture import DEBLURRING, ESTIMATING, Architecture
from msdi_jax.models.description import Description
from msdi_jax.models.self_ensemble import ensemble
from msdi_jax.networks.degradation import Degradation, DegradationEstimator
from msdi_jax.networks.functional import arrays_of
from msdi_jax.networks.layers import HalfInstanceNorm
from msdi_jax.networks.msdi_net import MSDIOutput
from msdi_jax.networks.reblur_deblur_net import JointOutput
from msdi_jax.runtime.compilation import precise


class Model:
    """A network in evaluation mode with compiled calls.

    Attributes:
        network: the NNX module, to look into.
        description: see `Description`.
    """

    def __init__(self, network: nnx.Module, description: Description):
        self.network = network
        self.description = description
        for _, layer in nnx.iter_graph(network):
            if isinstance(layer, HalfInstanceNorm):
                layer.window = _window(description, layer.channels)
        graph, self._arrays = nnx.split(network)
        self._call, self._degradation, self._maps, self._reblur = _compiled_calls(graph)

    @property
    def digest(self) -> str:
        """Identifies the model: a hash of its architecture and its weights."""
        digest = hashlib.sha256(repr(self.architecture).encode())
        for path, array in jax.tree.leaves_with_path(arrays_of(self.network)):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    @property
    def architecture(self) -> Architecture:
        return self.description.architecture

    @property
    def estimator(self) -> DegradationEstimator:
        """Encoder and pyramid.

        Raises:
            ValueError: when the network does not have both.
        """
        self._require_estimator()
        return _estimator(self.network)

    def __call__(self, *images: Float[Array, "b h w 3"]) -> MSDIOutput | JointOutput | Any:
        """`model(blurry)` for deblurring networks, `model(blurry, sharp)` for the joint one.

        Images are [0, 1] RGB whose sides are multiples of 16; outputs are not clipped. The other
        networks take and give what their modules do.
        """
        inputs = self.architecture.inputs
        if len(images) != len(inputs):
            names = ", ".join(inputs)
            raise ValueError(f"a {self.architecture.kind} model takes ({names}) images")
        return self._call(self._arrays, *map(_unit_range, images))

    def deblur(self, blurry: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """The images, deblurred in as many orientations as the deblurring network says.

        Sides are multiples of 16; the result is not clipped. Compiled already, and with several
        orientations not to be traced by `jax.jit`, as calling the model is.
        """
        self._require(DEBLURRING, "deblurs nothing")
        return ensemble(self._deblur, self.description.orientations)(blurry)

    def _deblur(self, blurry: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        images = (blurry, blurry) if self.architecture.reblurs else (blurry,)
        return self(*images).deblurred

    def degradation(self, images: Float[Array, "b h w 3"]) -> Degradation:
        """The degradation representation of images of any size, and its four maps."""
        self._require_estimator()
        images = _unit_range(images)
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"images of shape {images.shape} must be (number, height, width, 3)")
        return self._degradation(self._arrays, images)

    def degradation_for(
        self, representation: Float[Array, "b r q c"], size: tuple[int, int]
    ) -> Degradation:
        """What a representation, perhaps of no image, means for one of `size` (height, width)."""
        self._require_estimator()
        found = jnp.asarray(representation)
        return Degradation(found, self._maps(self._arrays, found, tuple(size)))

    def reblur(
        self, sharp: Float[Array, "b h w 3"], degradation: Degradation
    ) -> Float[Array, "b h w 3"]:
        """Sharp images blurred as `degradation` says: the joint network's reblurring branch.

        Sides are multiples of 16; the result is not clipped.
        """
        self._require(("reblur_deblur_net",), "cannot reblur")
        return self._reblur(self._arrays, _unit_range(sharp), degradation.maps)

    def using(self, **changes: int | None) -> "Model":
        """The same network with another `window` or other `orientations`, see `Description`.

        Raises:
            ValueError: for such as there are not.
        """
        graph, state = nnx.split(self.network)
        description = dataclasses.replace(self.description, **changes)
        description.check()
        return Model(nnx.merge(graph, state), description)

    def _require_estimator(self) -> None:
        self._require(ESTIMATING, "has no degradation encoder and pyramid")

    def _require(self, kinds: tuple[str, ...], reason: str) -> None:
        if self.architecture.kind not in kinds:
            raise ValueError(
                f"the {self.architecture.kind} model {reason}: give one of {', '.join(kinds)}"
            )


def _unit_range(images: Array) -> Array:
    """Raises ValueError for whole numbers, of which nothing but white would become."""
    images = jnp.asarray(images)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images of type {images.dtype} are not in [0, 1]: convert 8-bit images with "
            "msdi_jax.restoration.image_io.to_unit"
        )
    return images


@functools.lru_cache(maxsize=8)
def _compiled_calls(graph: nnx.GraphDef) -> tuple[Callable, ...]:
    """Compiled functions of a network's arrays; models of one architecture share them."""

    def call(arrays, *images):
        return nnx.merge(graph, arrays)(*images)

    def degradation(arrays, image):
        return _estimator(nnx.merge(graph, arrays))(image)

    def maps(arrays, representation, size):
        return _estimator(nnx.merge(graph, arrays)).maps(representation, size)

    def reblur(arrays, sharp, maps):
        return nnx.merge(graph, arrays).reblur(sharp, maps)

    return (
        jax.jit(precise(call)),
        jax.jit(precise(degradation)),
        jax.jit(precise(maps), static_argnums=2),
        jax.jit(precise(reblur)),
    )


def _window(description: Description, channels: int) -> int | None:
    """Window in px of features with `channels` channels, which double from level to level."""
    if not description.window:
        return None
    architecture = description.architecture
    return max(1, description.window * architecture.width // ((architecture.patch or 1) * channels))


def _estimator(network: nnx.Module) -> DegradationEstimator:
    return network if isinstance(network, DegradationEstimator) else network.degradation
