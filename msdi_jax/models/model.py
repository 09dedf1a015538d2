"""The `Model` class: a network with its description, ready for use."""

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
from msdi_jax.networks.msdi_net import MSDIOutput
from msdi_jax.networks.reblur_deblur_net import JointOutput
from msdi_jax.runtime.compilation import precise


class Model:
    """A network in evaluation mode with compiled calls.

    Attributes:
        network: the NNX module, for inspection.
        description: see `Description`.
    """

    def __init__(self, network: nnx.Module, description: Description):
        self.network = network
        self.description = description
        for _, layer in nnx.iter_graph(network):
            if hasattr(layer, "window"):
                layer.window = _window(description, layer.channels)
        graph, self._arrays = nnx.split(network)
        self._call, self._degradation, self._maps, self._reblur = _compiled_calls(graph)

    @property
    def digest(self) -> str:
        """Hash of the architecture and the weights, which identifies the model."""
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
        """The network's degradation encoder and pyramid.

        Raises:
            ValueError: the network does not have both.
        """
        self._require_estimator()
        return _estimator(self.network)

    def __call__(self, *images: Float[Array, "b h w 3"]) -> MSDIOutput | JointOutput | Any:
        """Run the network: `model(blurry)` to deblur, `model(blurry, sharp)` with the joint one.

        Images are [0, 1] RGB with sides that are multiples of 16; outputs are not clipped. Inputs
        and outputs of the other networks are those of their modules.

        Raises:
            ValueError: the number, the type or the size of the images is wrong.
        """
        inputs = self.architecture.inputs
        if len(images) != len(inputs):
            names = ", ".join(inputs)
            raise ValueError(f"a {self.architecture.kind} model takes ({names}) images")
        return self._call(self._arrays, *map(_unit_range, images))

    def lower(
        self, *images: jax.ShapeDtypeStruct, weights: jax.sharding.Sharding
    ) -> jax.stages.Lowered:
        """Trace a call for images of given shapes; the network may hold shapes instead of arrays.

        Args:
            images: as a call takes them.
            weights: placement of the network's arrays.
        """
        arrays = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=weights), self._arrays
        )
        return self._call.lower(arrays, *images)

    def deblur(self, blurry: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """Deblur images, as the mean over the orientations of the description.

        Sides are multiples of 16; the result is not clipped. The call is already compiled. With
        several orientations it cannot be traced by `jax.jit`; calling the model can.

        Raises:
            ValueError: the network does not deblur, or the images have a wrong type or size.
        """
        self._require(DEBLURRING, "does not deblur")
        return ensemble(self._deblur, self.description.orientations)(blurry)

    def _deblur(self, blurry: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        images = (blurry, blurry) if self.architecture.reblurs else (blurry,)
        return self(*images).deblurred

    def degradation(self, images: Float[Array, "b h w 3"]) -> Degradation:
        """Return the degradation representation of images of any size, and its four maps.

        Raises:
            ValueError: the network has no encoder, or the images have a wrong type or shape.
        """
        self._require_estimator()
        images = _unit_range(images)
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"images of shape {images.shape} must be (number, height, width, 3)")
        return self._degradation(self._arrays, images)

    def degradation_for(
        self, representation: Float[Array, "b r q c"], size: tuple[int, int]
    ) -> Degradation:
        """Return a representation, of any origin, with its maps for an image of `size`.

        `size` is (height, width) in px.
        """
        self._require_estimator()
        representation = jnp.asarray(representation)
        maps = self._maps(self._arrays, representation, tuple(size))
        return Degradation(representation, maps)

    def reblur(
        self, sharp: Float[Array, "b h w 3"], degradation: Degradation
    ) -> Float[Array, "b h w 3"]:
        """Blur sharp images by `degradation`, with the reblurring branch of the joint network.

        Sides are multiples of 16; the result is not clipped.

        Raises:
            ValueError: the network is not a joint one, or the images have a wrong type.
        """
        self._require(("reblur_deblur_net",), "cannot reblur")
        return self._reblur(self._arrays, _unit_range(sharp), degradation.maps)

    def using(self, **changes: int | None) -> "Model":
        """Return the same network with another `window` or `orientations`, see `Description`.

        Raises:
            ValueError: a value is not allowed.
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
    """Convert to a JAX array; raise ValueError for integers, which are not in [0, 1]."""
    images = jnp.asarray(images)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images of type {images.dtype} are not in [0, 1]: convert 8-bit images with "
            "msdi_jax.restoration.image_io.to_unit"
        )
    return images


@functools.lru_cache(maxsize=8)
def _compiled_calls(graph: nnx.GraphDef) -> tuple[Callable, ...]:
    """Return compiled functions of a network's arrays, shared by models of one architecture."""

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
    """Return the window in px of features; their number of channels doubles at every level."""
    if not description.window:
        return None
    architecture = description.architecture
    return max(1, description.window * architecture.width // ((architecture.patch or 1) * channels))


def _estimator(network: nnx.Module) -> DegradationEstimator:
    return network if isinstance(network, DegradationEstimator) else network.degradation
