"""A model directory: the arrays of a network, and `model.json` that says which network it is.

`load(path)` gives a callable model back, whether it was trained here or converted.
"""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.checkpoint import load_arrays, save_arrays
from msdi_jax.deblur_net import Deblurred, MSDINet
from msdi_jax.degradation import Degradation
from msdi_jax.joint_net import Joint, ReblurDeblurNet
from msdi_jax.state import arrays_of


@dataclasses.dataclass(frozen=True)
class Description:
    """What `model.json` holds.

    Attributes:
        network: "msdi_net" (degradation encoder version 1), "msdi2_net" (2) or "joint".
        width: channels of the finest level.
        hidden: context channels of the modulation.
        provenance: where the weights come from.
        licence: of the weights.
    """

    network: str
    width: int
    hidden: int
    provenance: dict[str, Any]
    licence: str

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        if self.network == "joint":
            return ReblurDeblurNet(self.width, hidden=self.hidden, rngs=rngs)
        version = {"msdi_net": 1, "msdi2_net": 2}[self.network]
        return MSDINet(self.width, version=version, hidden=self.hidden, rngs=rngs)


NETWORKS = ("msdi_net", "msdi2_net", "joint")


class Model:
    """A network in evaluation mode with compiled calls.

    Attributes:
        network: the NNX module, to look into.
        description: see `Description`.
    """

    def __init__(self, network: nnx.Module, description: Description):
        self.network = network
        self.description = description
        self._graph, self._arrays = nnx.split(network)
        self._call = jax.jit(lambda arrays, *images: nnx.merge(self._graph, arrays)(*images))
        self._degradation = jax.jit(
            lambda arrays, image: nnx.merge(self._graph, arrays).degradation(image)
        )

    @property
    def reblurs(self) -> bool:
        return self.description.network == "joint"

    def __call__(self, *images: Float[Array, "b h w 3"]) -> Deblurred | Joint:
        """`model(blurry)` for deblurring networks, `model(blurry, sharp)` for the joint one.

        Images are [0, 1] RGB whose sides are multiples of 16; outputs are not clipped.
        """
        expected = 2 if self.reblurs else 1
        if len(images) != expected:
            names = "blurry, sharp" if self.reblurs else "blurry"
            raise ValueError(f"a {self.description.network} model takes ({names}) images")
        return self._call(self._arrays, *map(jnp.asarray, images))

    def deblur(self, blurry: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """The deblurred images, whatever the network."""
        images = (blurry, blurry) if self.reblurs else (blurry,)
        return self(*images).deblurred

    def degradation(self, images: Float[Array, "b h w 3"]) -> Degradation:
        """The degradation representation of images of any size, and its four maps."""
        return self._degradation(self._arrays, jnp.asarray(images))


def save(path: Path | str, network: nnx.Module, description: Description) -> None:
    """Writes a model directory; an older one at `path` is replaced once the new one is whole."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        save_arrays(temporary / "arrays", arrays_of(network))
        text = json.dumps(dataclasses.asdict(description), indent=2, ensure_ascii=False)
        (temporary / "model.json").write_text(text + "\n")
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def describe(path: Path | str) -> Description:
    """Reads `model.json`.

    Raises:
        ValueError: when there is none, or it is not of this project.
    """
    file = Path(path) / "model.json"
    if not file.is_file():
        raise ValueError(
            f"{path} is not a model directory (no model.json): give the `model` folder of a run, "
            "or what `python -m msdi_jax convert` wrote"
        )
    try:
        description = Description(**json.loads(file.read_text()))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if description.network not in NETWORKS:
        raise ValueError(f"{file}: network {description.network!r} is none of {NETWORKS}")
    return description


def load(path: Path | str) -> Model:
    """Loads a model directory.

    Raises:
        ValueError: when it is not one, or its arrays are missing or damaged.
    """
    description = describe(path)
    abstract = nnx.eval_shape(lambda: description.build(nnx.Rngs(0)))
    graph, state = nnx.split(abstract)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), nnx.to_pure_dict(state))
    try:
        arrays = load_arrays(Path(path) / "arrays", shapes)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"the arrays of {path} cannot be read ({error}): copy or convert the model again"
        ) from error
    return Model(nnx.merge(graph, arrays), description)
