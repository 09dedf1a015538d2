"""The interface of a training stage, and the optimizer step that both stages share."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import ml_collections
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool

from msdi_jax.networks.degradation import Degradation, DegradationEstimator
from msdi_jax.networks.functional import Arrays
from msdi_jax.networks.layers import singular_values
from msdi_jax.networks.unet import MULTIPLE
from msdi_jax.runtime.mesh import by_image, by_rows, gathered
from msdi_jax.training import optimizer
from msdi_jax.training.state import State

Batch = dict[str, Array]
"""`blurry` and `sharp`, uint8 (b, h, w, 3); with pairs that share a blur also `motion`."""

Scalars = dict[str, Array]

# `compute_dtype` → JAX's precision for products of float32. By default, GPUs and TPUs compute them
# with fewer digits.
PRODUCTS = {"float32": "highest", "tensorfloat32": "tensorfloat32", "bfloat16": "default"}

STATISTICS = ("u", "v", "mean", "var")
"""Names of the arrays that forward passes update in training."""

Loss = Callable[[Arrays, Any], tuple[Array, tuple[Scalars, Arrays]]]
"""Parameters, part of a batch → value to minimise, (scalars to log, next statistics)."""


# Settings of both stages that are counts.
_COUNTS = (
    "steps",
    "schedule_steps",
    "batch_size",
    "crop",
    "log_every",
    "val_every",
    "val_images",
    "checkpoint_every",
    "accumulate",
)


class Stage(Protocol):
    """Pure functions over `State`."""

    @staticmethod
    def check(config: ml_collections.ConfigDict, mesh: Mesh) -> None:
        """Raise ValueError, naming field and fix, for settings that would fail later on `mesh`.

        The files that the stage takes weights from are not read, see `sources.check_sources`.
        """

    def init(self, key: Array) -> State:
        """Return the state before the first step."""

    def train_step(self, state: State, batch: Batch) -> tuple[State, Scalars]:
        """Return the next state, and scalars to log."""

    def val_step(self, state: State, batch: Batch) -> tuple[Scalars, dict[str, Array]]:
        """Return losses and PSNR (dB) in evaluation mode, and the images; updates nothing."""

    def network(self, state: State) -> nnx.Module:
        """Return the network in evaluation mode, to export."""


def check_settings(name: str, config: ml_collections.ConfigDict, mesh: Mesh) -> None:
    """Raise ValueError for settings of stage `name` that neither stage can use."""
    settings = config[name]
    for field in _COUNTS:
        if settings[field] < 1:
            raise ValueError(f"{name}.{field}={settings[field]} must be at least 1")
    for field in ("learning_rate", "clip_norm", "adam_eps"):
        if settings[field] <= 0:
            raise ValueError(f"{name}.{field}={settings[field]:g} must be above 0")
    for field in ("adam_b1", "adam_b2", "ema_decay"):
        if not 0 <= settings[field] < 1:
            raise ValueError(f"{name}.{field}={settings[field]:g} must be in [0, 1)")
    for field in ("final_learning_rate", "weight_decay"):
        if settings[field] < 0:
            raise ValueError(f"{name}.{field}={settings[field]:g} must be at least 0")
    if settings.crop % MULTIPLE:
        raise ValueError(f"{name}.crop={settings.crop} must be a multiple of {MULTIPLE}")
    _check_shares(name, settings, mesh.shape)


def _check_shares(name: str, settings: ml_collections.ConfigDict, mesh: dict[str, int]) -> None:
    """Raise ValueError unless batches and crops divide among the devices of a mesh."""
    if settings.batch_size % (mesh["data"] * settings.accumulate):
        raise ValueError(
            f"{name}.batch_size={settings.batch_size} must be a multiple of the {mesh['data']} "
            f"devices of mesh axis data, times {name}.accumulate={settings.accumulate}: change it, "
            "or use fewer devices by mesh.data"
        )
    if settings.crop % mesh["rows"]:
        raise ValueError(
            f"{name}.crop={settings.crop} must be a multiple of mesh.rows={mesh['rows']}"
        )


class StepResult(NamedTuple):
    """Result of `optimizer_step`; nothing was updated unless `finite`."""

    params: Arrays
    opt: Any
    stats: Arrays
    scalars: Scalars
    finite: Bool[Array, ""]


def optimizer_step(
    loss: Loss,
    params: Arrays,
    opt: Any,
    stats: Arrays,
    images: Any,
    *,
    settings: ml_collections.ConfigDict,
    rate: Any,
) -> StepResult:
    """Do one optimizer step on the mean of `loss` over the parts of a batch.

    Nothing is updated if a scalar or the gradient is not finite. All parts start from the same
    statistics; the next statistics are the mean over the parts.
    """
    gradients, (scalars, after) = mean_gradient(loss, gathered(params), images, settings.accumulate)
    new = optimizer.update(
        optimizer.adam(settings), gradients, params, opt, rate=rate, clip_norm=settings.clip_norm
    )
    scalars = scalars | {
        "gradient_norm": new.gradient_norm,
        "weight_norm": optax.tree.norm(params),
        "learning_rate": jnp.stack(jax.tree.leaves(rate)).max(),
    }
    finite = jnp.all(jnp.stack([jnp.isfinite(value) for value in scalars.values()]))
    chosen = jax.tree.map(
        lambda new, old: jnp.where(finite, new, old),
        (new.params, new.opt, after),
        (params, opt, stats),
    )
    return StepResult(*chosen, scalars, finite)


def mean_gradient(loss: Loss, params: Arrays, images: Any, parts: int):
    """Return gradient and auxiliary output of `loss`, as means over `parts` parts of the batch.

    Parts are interleaved, so that images stay on their devices.
    """
    gradient = jax.grad(loss, has_aux=True)
    if parts == 1:
        return gradient(params, images)
    pieces = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), images)
    shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda x: x[0], pieces))

    def add(total, piece):
        return jax.tree.map(jnp.add, total, gradient(params, piece)), None

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, pieces)
    return jax.tree.map(lambda x: x / parts, total)


def moving_average(ema: Arrays, new: StepResult, decay: float) -> Arrays:
    """Move `ema` towards the new weights, if it is not empty and the step was finite."""
    if not ema:
        return ema
    decay = jnp.where(new.finite, decay, 1)
    return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, ema, new.params)


def spectral_scalars(network: nnx.Module) -> Scalars:
    """Return the largest and the smallest σ by which spectral normalisation divides, if any."""
    if not (values := singular_values(network)):
        return {}
    values = jnp.stack(values)
    return {"sigma_max": values.max(), "sigma_min": values.min()}


def cast(arrays: Arrays, compute_dtype: str) -> Arrays:
    """Convert parameters to the type to compute in; only "bfloat16" differs from the kept type."""
    if compute_dtype != "bfloat16":
        return arrays

    def to_bfloat16(path: tuple, x: Array) -> Array:
        return x if path[-1].key in STATISTICS else x.astype(jnp.bfloat16)

    return jax.tree_util.tree_map_with_path(to_bfloat16, arrays)


def pair_of(batch: Batch) -> tuple[Array, Array]:
    """Return blurry and sharp images in [0, 1], sharded over devices like the batch."""
    return by_rows(unit_range(batch["blurry"])), by_rows(unit_range(batch["sharp"]))


def unit_range(images: Array) -> Array:
    """Convert uint8 images to [0, 1]; floating-point images are returned unchanged."""
    if images.dtype != jnp.uint8:
        return images
    return images.astype(jnp.float32) / 255


def degradation_of(estimator: DegradationEstimator, blurry: Array) -> Degradation:
    """Return `estimator(blurry)`, computed with whole images; its maps are sharded like images."""
    degradation = estimator(by_image(blurry))
    return degradation._replace(maps=tuple(by_rows(level) for level in degradation.maps))
