"""The description of a network that configurations, model files and code share.

`from_config` makes an `Architecture` from a configuration, `build` makes a network from it, and
`config_overrides` returns the fields of a configuration. A new network needs one entry in `KINDS`.
"""

import dataclasses
import functools
import inspect
import operator
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
from flax import nnx

from msdi_jax.networks.degradation import (
    DegradationEncoder,
    DegradationEstimator,
    DegradationPyramid,
)
from msdi_jax.networks.discriminator import MultiscaleDiscriminator
from msdi_jax.networks.functional import Arrays, abstract
from msdi_jax.networks.hinet import HINet
from msdi_jax.networks.msdi_net import LEVELS, MSDINet
from msdi_jax.networks.nafnet import ModulatedNAFNet, NAFNet, check_blocks
from msdi_jax.networks.reblur_deblur_net import ReblurDeblurNet
from msdi_jax.networks.unet import check_depth_and_patch
from msdi_jax.networks.vgg import VGG19

_TUPLES = ("injected", "blocks")
# Kind of the network that stage 1 trains.
JOINT = "reblur_deblur_net"
# Fields of a configuration in which 0 means: derived from other fields.
_IMPLIED = ("deblur.width", "hidden")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A kind of network and its sizes; fields that the kind does not have are None.

    Fields that are not given take the defaults: `hidden` is 2 · width, `degradation_width` is the
    width, and all others are the published values.

    Attributes:
        kind: a key of `KINDS`.
        width: channels of the finest level; published: 64.
        degradation_width: channels of the degradation encoder's first layer.
        version: of the degradation encoder and pyramid, 1 or 2.
        hidden: context channels of the modulation.
        depth: levels of the U-Nets.
        patch: side of the pixel squares that the U-Nets take as one pixel.
        injected: levels whose skips the degradation maps modulate, 0 the finest.
        blocks: NAFNet's blocks per level, from the finest down, in the middle, and up again.
        native: the degradation encoder takes images at full resolution.
        contrast: the degradation encoder takes local contrast.

    Raises:
        ValueError: the kind is unknown, or does not have one of the fields.
    """

    kind: str
    width: int | None = None
    degradation_width: int | None = None
    version: int | None = None
    hidden: int | None = None
    depth: int | None = None
    patch: int | None = None
    injected: tuple[int, ...] | None = None
    blocks: tuple[int, ...] | None = None
    native: bool | None = None
    contrast: bool | None = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"network {self.kind!r} is unknown: choose one of {', '.join(KINDS)}")
        known, fixed = KINDS[self.kind].defaults, KINDS[self.kind].fixed
        for field, value in vars(self).items():
            if value is not None and (field not in known or value != fixed.get(field, value)):
                raise ValueError(f"{self.kind} has no {field}={value!r}")
        width = self.width or self.degradation_width or known["width"]
        derived = {"width": width, "degradation_width": width, "hidden": 2 * width}
        for field, default in known.items():
            value = getattr(self, field)
            value = derived.get(field, default) if value is None else value
            # JSON has no tuples.
            object.__setattr__(self, field, tuple(value) if field in _TUPLES else value)

    @classmethod
    def from_config(cls, config: ml_collections.ConfigDict, stage: str) -> "Architecture":
        """Return the network that `stage`, "reblur" or "deblur", trains."""
        kind = JOINT if stage == "reblur" else config.deblur.network
        if stage == "deblur" and kind not in TRAINED_BY_DEBLUR:
            raise ValueError(
                f"deblur.network={kind!r} must be one of {', '.join(TRAINED_BY_DEBLUR)}"
            )
        values = {f: operator.attrgetter(p)(config) for f, p in KINDS[kind].config_paths.items()}
        for field, path in KINDS[kind].config_paths.items():
            if path in _IMPLIED:
                values[field] = values[field] or None
        return cls(kind, **values)

    def config_overrides(self) -> dict[str, Any]:
        """Return fields of a configuration, with values, for which `from_config` returns this."""
        values = {"deblur.network": self.kind} if self.kind in TRAINED_BY_DEBLUR else {}
        for field, path in KINDS[self.kind].config_paths.items():
            implied = path in _IMPLIED and dataclasses.replace(self, **{field: None}) == self
            values[path] = 0 if implied else getattr(self, field)
        return values

    def check(self, names: Mapping[str, str] | None = None) -> None:
        """Check the sizes.

        Args:
            names: field → its name in messages; default: its own.

        Raises:
            ValueError: a size is impossible; names the fields, their values and the allowed ones.
        """
        names = names or {}
        for field in ("width", "degradation_width", "hidden"):
            if (value := getattr(self, field)) is not None and value < 1:
                raise ValueError(f"{names.get(field, field)}={value} must be at least 1")
        if self.version not in (None, 1, 2):
            raise ValueError(f"{names.get('version', 'version')}={self.version} must be 1 or 2")
        if self.depth is not None:
            check_depth_and_patch(self.depth, 1 if self.patch is None else self.patch, names)
        if self.blocks is not None:
            check_blocks(self.blocks, names.get("blocks", "blocks"))
        if self.injected is not None:
            self._check_injected(names.get("injected", "injected"))

    def _check_injected(self, name: str) -> None:
        if not set(self.injected) <= set(LEVELS):
            raise ValueError(f"{name}={self.injected} must be some of {LEVELS}")
        depth = self.depth or len(self.blocks) // 2 + 1
        skips = tuple(range(depth - 1))
        if self.injected and not set(self.injected) & set(skips):
            raise ValueError(
                f"{name}={self.injected} modulates nothing: a U-Net of depth {depth} has skips at "
                f"{skips}"
            )

    def build(self, rngs: nnx.Rngs, **training: Any) -> nnx.Module:
        """Build the network with random weights.

        Args:
            rngs: random streams.
            training: options that affect training only, such as `remat`.
        """
        kind = KINDS[self.kind]
        fields = {field: getattr(self, field) for field in kind.arguments}
        return kind.network(**fields, **training, rngs=rngs)

    def abstract(self) -> tuple[nnx.GraphDef, Arrays]:
        """Return the network without its arrays, and the shapes and types of the arrays."""
        return _abstract(self)

    @property
    def reblurs(self) -> bool:
        return self.kind == JOINT

    @property
    def frozen(self) -> tuple[str, ...]:
        """Parts of the network that its stage does not train."""
        return KINDS[self.kind].frozen

    @property
    def encoder(self) -> dict[str, Any]:
        """Arguments of the network's `DegradationEncoder`."""
        width = self.degradation_width or self.width
        options = {"native": self.native, "contrast": self.contrast}
        return {"width": width, "version": self.version, **options}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the arrays that a call takes."""
        return KINDS[self.kind].inputs

    def input_shapes(self, size: int) -> list[tuple[int, ...]]:
        """Return the input shapes for one image of `size`×`size` px; a pyramid ignores `size`."""
        if self.kind == "pyramid":
            side, channels = (4, 4) if self.version == 1 else (8, 32)
            return [(1, side, side, channels * self.width)]
        channels = 6 if self.kind == "discriminator" else 3
        return [(1, size, size, channels)] * len(self.inputs)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of network.

    Attributes:
        network: its class, whose arguments are fields of `Architecture`.
        config_paths: field of `Architecture` → field of a configuration, if a stage trains it.
        inputs: names of the arrays that a call takes.
        deblurs: whether the output has an image `deblurred`.
        estimates: whether it has a degradation encoder and pyramid, or is these.
        frozen: parts that its stage does not train.
        fixed: fields that are no arguments of the class, with their only value.
    """

    network: type[nnx.Module]
    config_paths: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inputs: tuple[str, ...] = ("blurry",)
    deblurs: bool = False
    estimates: bool = False
    frozen: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the class that are fields of `Architecture`, with their defaults."""
        known = {field.name for field in dataclasses.fields(Architecture)}
        parameters = inspect.signature(self.network.__init__).parameters
        return {name: p.default for name, p in parameters.items() if name in known}

    @property
    def defaults(self) -> dict[str, Any]:
        return {"kind": None, **self.arguments, **self.fixed}


_ENCODER_PATHS = {"hidden": "hidden", "native": "native", "contrast": "contrast"}
_MODULATED_PATHS = {
    "width": "deblur.width",
    "degradation_width": "width",
    "version": "version",
    "injected": "deblur.injected",
    **_ENCODER_PATHS,
}

KINDS = {
    "msdi_net": Kind(
        MSDINet,
        {**_MODULATED_PATHS, "depth": "deblur.depth", "patch": "deblur.patch"},
        deblurs=True,
        estimates=True,
        frozen=("degradation",),
    ),
    JOINT: Kind(
        ReblurDeblurNet,
        {"width": "width", "depth": "reblur.depth", **_ENCODER_PATHS},
        inputs=("blurry", "sharp"),
        deblurs=True,
        estimates=True,
        fixed={"version": 2},
    ),
    "modulated_nafnet": Kind(
        ModulatedNAFNet,
        {**_MODULATED_PATHS, "blocks": "deblur.blocks"},
        deblurs=True,
        estimates=True,
        frozen=("degradation",),
    ),
    "nafnet": Kind(NAFNet, {"width": "width", "blocks": "deblur.blocks"}, deblurs=True),
    "hinet": Kind(HINet, {"width": "width"}, deblurs=True),
    "degradation": Kind(DegradationEstimator, estimates=True),
    "encoder": Kind(DegradationEncoder),
    "pyramid": Kind(DegradationPyramid, inputs=("representation",)),
    "discriminator": Kind(MultiscaleDiscriminator, inputs=("sharp and candidate, stacked",)),
    "vgg19": Kind(VGG19, frozen=("conv",), fixed={"width": 64}),
}
DEBLURRING = tuple(name for name, kind in KINDS.items() if kind.deblurs)
TRAINED_BY_DEBLUR = tuple(n for n, kind in KINDS.items() if kind.config_paths and n != JOINT)
ESTIMATING = tuple(name for name, kind in KINDS.items() if kind.estimates)


@functools.lru_cache(maxsize=4)
def _abstract(architecture: Architecture) -> tuple[nnx.GraphDef, Arrays]:
    """Trace the network. The latest few results are cached, since tracing takes seconds."""
    graph, state = nnx.split(abstract(architecture.build))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), nnx.to_pure_dict(state))
    return graph, shapes
