"""A model directory: the arrays of a network, and `model.json` that says which network it is.

`load(path)` gives a callable model back, whether it was trained here or converted.
"""

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.models import bf16_archive
from msdi_jax.networks import local_statistics
from msdi_jax.networks.degradation import (
    Degradation,
    DegradationEncoder,
    DegradationEstimator,
    DegradationPyramid,
)
from msdi_jax.networks.discriminator import MultiscaleDiscriminator
from msdi_jax.networks.functional import Arrays, abstract, arrays_of
from msdi_jax.networks.layers import HalfInstanceNorm, PowerIteration
from msdi_jax.networks.msdi_net import LEVELS, MSDINet, MSDIOutput
from msdi_jax.networks.reblur_deblur_net import JointOutput, ReblurDeblurNet
from msdi_jax.networks.unet import DEPTH
from msdi_jax.networks.vgg import VGG19
from msdi_jax.restoration import restore
from msdi_jax.runtime.checkpoint import check_place, load_arrays, save_arrays
from msdi_jax.runtime.compilation import precise

# Stage → its model directory in a run directory.
DIRECTORIES = {"reblur": "model-reblur", "deblur": "model"}

# The model in the box: a run directory that comes with the package; see docs/model_card.md.
BUNDLED = Path(__file__).parent / "bundled"

# Name → (description, rngs) → network; "degradation" is encoder and pyramid.
BUILDERS = {
    "msdi_net": lambda d, rngs: MSDINet(d.width, version=1, **d.form, rngs=rngs),
    "msdi2_net": lambda d, rngs: MSDINet(d.width, version=2, **d.form, rngs=rngs),
    "joint": lambda d, rngs: ReblurDeblurNet(d.width, hidden=d.hidden, **d.sight, rngs=rngs),
    "degradation": lambda d, rngs: DegradationEstimator(d.width, **d.encoding, rngs=rngs),
    "encoder": lambda d, rngs: DegradationEncoder(d.width, **d.encoding, rngs=rngs),
    "pyramid": lambda d, rngs: DegradationPyramid(d.width, version=d.version, rngs=rngs),
    "discriminator": lambda d, rngs: MultiscaleDiscriminator(d.width, rngs=rngs),
    "vgg19": lambda d, rngs: VGG19(rngs=rngs),
}
NETWORKS = tuple(BUILDERS)
DEBLURRING = ("msdi_net", "msdi2_net", "joint")
ESTIMATING = (*DEBLURRING, "degradation")
VERSIONS = {"msdi_net": 1, "msdi2_net": 2, "joint": 2}
INPUTS = {
    "joint": ("blurry", "sharp"),
    "pyramid": ("representation",),
    "discriminator": ("sharp and candidate, stacked",),
}


@dataclasses.dataclass(frozen=True)
class Description:
    """What `model.json` holds.

    Attributes:
        network: one of `NETWORKS`.
        width: channels of the finest level.
        hidden: context channels of the modulation; None where there is none.
        provenance: where the weights come from.
        licence: of the weights.
        version: of the degradation encoder and pyramid, 1 or 2; the names of the deblurring
            networks tell it. None where there is neither.
        injected: of a deblurring network, the levels whose skips are modulated.
        depth, patch: of a deblurring network, levels of its U-Nets and the side of their pixels.
        degradation_width: of the degradation encoder; None means `width`.
        native, contrast: whether the degradation encoder is, and sees that; see `degradation`.
        window: side of the windows, px of the image, that half instance norms take their statistics
            in when the model is used, see windows.py; None: the whole image.
        orientations: that images are restored in, see `restore.ensemble`; a call of the model is
            one of them, `Model.deblur` is all.
    """

    network: str
    width: int
    hidden: int | None
    provenance: dict[str, Any]
    licence: str
    version: int | None = None
    injected: tuple[int, ...] = LEVELS
    depth: int = DEPTH
    patch: int = 1
    degradation_width: int | None = None
    native: bool = False
    contrast: bool = False
    window: int | None = None
    orientations: int = 1

    def __post_init__(self):
        object.__setattr__(self, "version", VERSIONS.get(self.network, self.version))
        object.__setattr__(self, "degradation_width", self.degradation_width or self.width)
        # JSON knows lists only.
        object.__setattr__(self, "injected", tuple(self.injected))

    def build(self, rngs: nnx.Rngs) -> nnx.Module:
        return BUILDERS[self.network](self, rngs)

    def abstract(self) -> tuple[nnx.GraphDef, Arrays]:
        """The network without its arrays, and their shapes and types."""
        return _abstract(dataclasses.replace(self, provenance=None, licence=""))

    @property
    def sight(self) -> dict[str, bool]:
        return {"native": self.native, "contrast": self.contrast}

    @property
    def form(self) -> dict[str, Any]:
        own = ("depth", "patch", "degradation_width", "hidden", "injected")
        return {field: getattr(self, field) for field in own} | self.sight

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of a configuration that make a network of this form, see configs/base.py."""
        common = {
            "width": self.degradation_width,
            "hidden": 0 if self.hidden == 2 * self.width else self.hidden,
            "native": self.native,
            "contrast": self.contrast,
        }
        if self.network == "joint":
            return common
        return common | {
            "version": self.version,
            "deblur.width": 0 if self.width == self.degradation_width else self.width,
            "deblur.depth": self.depth,
            "deblur.patch": self.patch,
            "deblur.injected": self.injected,
        }

    @property
    def encoding(self) -> dict[str, Any]:
        return {"version": self.version, **self.sight}

    @property
    def inputs(self) -> tuple[str, ...]:
        return INPUTS.get(self.network, ("blurry",))

    def input_shapes(self, size: int) -> list[tuple[int, ...]]:
        """Of one image of `size`×`size` pixels, or of the one representation there is."""
        if self.network == "pyramid":
            side, channels = (4, 4) if self.version == 1 else (8, 32)
            return [(1, side, side, channels * self.width)]
        channels = 6 if self.network == "discriminator" else 3
        return [(1, size, size, channels)] * len(self.inputs)


@functools.lru_cache(maxsize=4)
def _abstract(description: Description):
    """Tracing a deblurring network takes seconds, so the latest few are kept."""
    graph, state = nnx.split(abstract(description.build))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), nnx.to_pure_dict(state))
    return graph, shapes


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
        self._graph, self._arrays = nnx.split(network)
        self._call = _jit(lambda arrays, *images: nnx.merge(self._graph, arrays)(*images))
        self._degradation = _jit(
            lambda arrays, image: _estimator(nnx.merge(self._graph, arrays))(image)
        )
        self._maps = _jit(
            lambda arrays, found, size: _estimator(nnx.merge(self._graph, arrays)).maps(
                found, size
            ),
            static_argnums=2,
        )
        self._reblur = _jit(
            lambda arrays, sharp, maps: nnx.merge(self._graph, arrays).reblur(sharp, maps)
        )

    @property
    def digest(self) -> str:
        """What tells models apart: the kind of network and all of its numbers."""
        found = hashlib.sha256(self.description.network.encode())
        for path, array in jax.tree.leaves_with_path(arrays_of(self.network)):
            found.update(jax.tree_util.keystr(path).encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]

    @property
    def reblurs(self) -> bool:
        return self.description.network == "joint"

    @property
    def estimator(self) -> DegradationEstimator:
        """Encoder and pyramid.

        Raises:
            ValueError: when the network does not have both.
        """
        self._require(ESTIMATING, "has no degradation encoder with its pyramid")
        return _estimator(self.network)

    def __call__(self, *images: Float[Array, "b h w 3"]) -> MSDIOutput | JointOutput | Any:
        """`model(blurry)` for deblurring networks, `model(blurry, sharp)` for the joint one.

        Images are [0, 1] RGB whose sides are multiples of 16; outputs are not clipped. The other
        networks take and give what their modules do.
        """
        inputs = self.description.inputs
        if len(images) != len(inputs):
            names = ", ".join(inputs)
            raise ValueError(f"a {self.description.network} model takes ({names}) images")
        return self._call(self._arrays, *map(_unit_range, images))

    def deblur(self, blurry: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """The images, deblurred in as many orientations as the deblurring network says.

        Sides are multiples of 16; the result is not clipped. Compiled already, and with several
        orientations not to be traced by `jax.jit`, as calling the model is.
        """
        self._require(DEBLURRING, "deblurs nothing")
        return restore.ensemble(self._deblur, self.description.orientations)(blurry)

    def _deblur(self, blurry: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        images = (blurry, blurry) if self.reblurs else (blurry,)
        return self(*images).deblurred

    def degradation(self, images: Float[Array, "b h w 3"]) -> Degradation:
        """The degradation representation of images of any size, and its four maps."""
        self._require(ESTIMATING, "has no degradation encoder with its pyramid")
        images = _unit_range(images)
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"images of shape {images.shape} must be (number, height, width, 3)")
        return self._degradation(self._arrays, images)

    def degradation_for(
        self, representation: Float[Array, "b r q c"], size: tuple[int, int]
    ) -> Degradation:
        """What a representation, perhaps of no image, means for one of `size` (height, width)."""
        self._require(ESTIMATING, "has no degradation encoder with its pyramid")
        found = jnp.asarray(representation)
        return Degradation(found, self._maps(self._arrays, found, tuple(size)))

    def reblur(
        self, sharp: Float[Array, "b h w 3"], degradation: Degradation
    ) -> Float[Array, "b h w 3"]:
        """Sharp images blurred as `degradation` says: the joint network's reblurring branch.

        Sides are multiples of 16; the result is not clipped.
        """
        self._require(("joint",), "cannot reblur")
        return self._reblur(self._arrays, _unit_range(sharp), degradation.maps)

    def using(self, **changes: int | None) -> "Model":
        """The same network with another `window` or other `orientations`, see `Description`.

        Raises:
            ValueError: for such as there are not.
        """
        graph, state = nnx.split(self.network)
        description = dataclasses.replace(self.description, **changes)
        _check_usage(description)
        return Model(nnx.merge(graph, state), description)

    def _require(self, networks: tuple[str, ...], lack: str) -> None:
        name = self.description.network
        if name not in networks:
            raise ValueError(f"the {name} model {lack}: give one of {', '.join(networks)}")


def _unit_range(images: Array) -> Array:
    """Raises ValueError for whole numbers, of which nothing but white would become."""
    images = jnp.asarray(images)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images of type {images.dtype} are not in [0, 1]: convert 8-bit images with "
            "msdi_jax.restoration.image_io.to_unit"
        )
    return images


def _check_usage(description: Description, told: str = "") -> None:
    local_statistics.check(description.window or 0, f"{told}window")
    if description.orientations not in restore.ORIENTATIONS:
        raise ValueError(
            f"{told}orientations {description.orientations!r} must be one of {restore.ORIENTATIONS}"
        )


def _jit(function: Callable, **options) -> Callable:
    return jax.jit(precise(function), **options)


def _window(description: Description, channels: int) -> int | None:
    """In px of features with so many channels, whose number doubles from level to level."""
    if not description.window:
        return None
    return max(1, description.window * description.width // (description.patch * channels))


def _estimator(network: nnx.Module) -> DegradationEstimator:
    return network if isinstance(network, DegradationEstimator) else network.degradation


def save(
    path: Path | str,
    network: nnx.Module,
    description: Description,
    unused: Mapping[str, np.ndarray] | None = None,
    *,
    compactly: bool = False,
) -> None:
    """Writes a model directory; an older one at `path` is replaced once the new one is whole.

    Args:
        path: the directory.
        network: with arrays of NumPy or jax.
        description: see `Description`.
        unused: arrays of a converted file that the network never uses, kept for `export`.
        compactly: as rounded bfloat16 in one small file, see compact.py.

    Raises:
        ValueError: when something else than a model directory stands at `path`.
    """
    path = Path(path)
    check_replaceable(path)
    temporary, old = (path.with_name(f".{path.name}.{os.getpid()}{end}") for end in ("", ".old"))
    try:
        temporary.mkdir(parents=True)
        if compactly:
            bf16_archive.write(temporary / "arrays.npz", arrays_of(network))
        else:
            save_arrays(temporary / "arrays", arrays_of(network))
        if unused:
            np.savez(temporary / "unused.npz", **unused)
        text = json.dumps(dataclasses.asdict(description), indent=2, ensure_ascii=False)
        (temporary / "model.json").write_text(text + "\n")
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def check_replaceable(path: Path) -> None:
    """Raises ValueError when writing a model to `path` would fail or destroy something else."""
    check_place(path)
    if path.exists() and not (path / "model.json").is_file() and not _empty(path):
        raise ValueError(f"{path} exists and is no model directory: choose another name")


def _empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def load_unused(path: Path | str) -> dict[str, np.ndarray]:
    """The never used arrays that `save` was given, by their published keys."""
    file = find(path) / "unused.npz"
    if not file.exists():
        return {}
    try:
        with np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is damaged ({error}): convert the model again") from error


def find(path: Path | str, *names: str) -> Path:
    """`path`, or the first of the model directories `names` in it when it is a run directory."""
    names = names or tuple(DIRECTORIES.values())[::-1]
    found = [Path(path) / name for name in names if (Path(path) / name / "model.json").is_file()]
    return found[0] if found else Path(path)


def describe(path: Path | str) -> Description:
    """Reads `model.json`; `path` as in `load`.

    Raises:
        ValueError: when there is none, or it is not of this project.
    """
    path = find(path)
    file = path / "model.json"
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
    if description.network in ("degradation", "encoder", "pyramid") and (
        description.version not in (1, 2)
    ):
        raise ValueError(f"{file}: version {description.version!r} must be 1 or 2")
    _check_usage(description, f"{file}: ")
    return description


def load(path: Path | str) -> Model:
    """Loads a model directory.

    Args:
        path: the directory; or a run directory, whose deblurring network is taken before its joint
            one.

    Raises:
        ValueError: when it is not one, or its arrays are missing or damaged.
    """
    description, path = describe(path), find(path)
    graph, shapes = description.abstract()
    try:
        if (path / "arrays.npz").is_file():
            arrays = jax.tree.map(jnp.asarray, bf16_archive.read(path / "arrays.npz", shapes))
        else:
            arrays = load_arrays(path / "arrays", shapes)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"the arrays of {path} cannot be read ({error}): copy or convert the model again"
        ) from error
    return Model(nnx.merge(graph, arrays), description)


def mean(models: Sequence[Model]) -> Model:
    """The network whose weights are the mean of those of `models`.

    For networks that were trained on from one another: their mean often does better on images
    unlike the training's than any of them (Wortsman et al., "Model soups", ICML 2022; "Robust
    fine-tuning of zero-shot models", CVPR 2022). Window and orientations are those of the first.

    Raises:
        ValueError: when they are not networks of one form.
    """
    first = models[0]
    rest = {"provenance": None, "licence": "", "window": None, "orientations": 1}
    forms = [vars(m.description) | rest for m in models]
    if different := {key for form in forms for key in form if form[key] != forms[0][key]}:
        raise ValueError(f"models that differ in {', '.join(sorted(different))} have no mean")
    # By NumPy, since JAX would compile a program for each shape.
    weights = [jax.device_get(arrays_of(m.network)) for m in models]
    arrays = jax.tree.map(lambda *x: sum(x) / len(x), *weights)
    network = nnx.merge(first.description.abstract()[0], jax.tree.map(jnp.asarray, arrays))
    vectors = nnx.state(network, PowerIteration)
    # Read off shorter ones, singular values would be too small.
    nnx.update(network, jax.tree.map(lambda x: x / jnp.linalg.norm(x), vectors))
    provenance = {"mean of": [m.description.provenance for m in models]}
    licence = joined_licences([m.description.licence for m in models])
    description = dataclasses.replace(first.description, provenance=provenance, licence=licence)
    return Model(network, description)


def joined_licences(licences: Sequence[str]) -> str:
    """All of them, each once."""
    return "; ".join(dict.fromkeys(part for licence in licences for part in licence.split("; ")))
