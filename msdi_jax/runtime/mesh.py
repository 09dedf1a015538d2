"""Placement of arrays on a mesh of devices ('data', 'rows').

The batch is split over `data`, image rows over `rows`. Weights are replicated or, optionally, split
over `data` (ZeRO). `jax.jit` follows these shardings and inserts the collectives; models do not
name axes.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

# Smaller arrays are not worth a separate collective.
SHARDED_SIZE = 4096


def make_mesh(data: int = -1, rows: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Make a mesh of data × rows devices; data = -1 takes all devices, divided by `rows`.

    Args:
        data: number of parts of the batch.
        rows: number of parts of every image.
        devices: by default those of this run; those of a topology to compile for one.

    Raises:
        ValueError: the product is not the number of devices. A single process may use fewer.
    """
    count, processes = jax.device_count(), jax.process_count()
    if devices is not None:
        count, processes = len(devices), len({device.process_index for device in devices})
    few = data > 0 and processes == 1
    if data == -1 and rows > count:
        raise ValueError(f"mesh.rows={rows} must be at most the number of devices, {count}")
    if data == -1 and rows > 0:
        data = count // rows
    size = data * rows
    if min(data, rows) < 1 or size > count or (size < count and not few):
        raise ValueError(
            f"mesh.data × mesh.rows = {data} × {rows} must be {'at most ' if few else ''}"
            f"the number of devices, {count}"
        )
    return jax.make_mesh(
        (data, rows),
        ("data", "rows"),
        axis_types=(AxisType.Auto,) * 2,
        # JAX orders all devices by their links, but not a subset of them.
        devices=(devices or jax.devices())[:size] if devices or size < count else None,
    )


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def over_batch(mesh: Mesh, rank: int = 4) -> NamedSharding:
    """Return the sharding of a batch of images (b, h, w, c), or of values per image."""
    return NamedSharding(mesh, P("data", "rows") if rank == 4 else P("data"))


def batch_part(mesh: Mesh) -> tuple[int, int]:
    """Return (index, count) of the equal part of a batch that this process's devices need.

    Processes whose devices share images along `rows` read the same part.
    """
    mine = np.vectorize(lambda d: d.process_index == jax.process_index())(mesh.devices)
    held = np.flatnonzero(mine.any(axis=1))
    parts, rest = divmod(len(mine), len(held))
    if rest or held[0] % len(held) or held[-1] - held[0] != len(held) - 1:
        return 0, 1
    return int(held[0]) // len(held), parts


def global_batch(local: Any, mesh: Mesh, batch_size: int) -> Any:
    """Return global arrays with this process's part of a batch, see `batch_part`."""
    part, parts = batch_part(mesh)
    first = part * (batch_size // parts)

    def put(images: np.ndarray) -> Array:
        def piece(index: tuple[slice, ...]) -> np.ndarray:
            start, stop, _ = index[0].indices(batch_size)
            return images[start - first : stop - first, *index[1:]]

        shape = (batch_size, *images.shape[1:])
        return jax.make_array_from_callback(shape, over_batch(mesh, images.ndim), piece)

    return jax.tree.map(put, local)


def fsdp_sharding(tree: Any, mesh: Mesh) -> Any:
    """Return a sharding per array of `tree`: its largest divisible dimension over `data`."""
    pieces = mesh.shape["data"]

    def rule(x) -> NamedSharding:
        divisible = [n if n % pieces == 0 else 0 for n in x.shape]
        if x.size < SHARDED_SIZE or not any(divisible):
            return replicated(mesh)
        axis = int(np.argmax(divisible))
        return NamedSharding(mesh, P(*[None] * axis, "data"))

    return jax.tree.map(rule, tree)


def place(tree: Any, shardings: Any) -> Any:
    """Place host arrays, which are equal on all hosts, by `shardings`.

    The result never aliases its source, so that it can be donated.
    """

    def put(x, sharding):
        whole = np.asarray(x)
        return jax.make_array_from_callback(whole.shape, sharding, lambda i: whole[i].copy())

    return jax.tree.map(put, tree, shardings)


def gathered(tree: Any) -> Any:
    """Inside a step: replicate sharded arrays on every device."""
    return jax.tree.map(lambda x: _constrain(x, P()), tree)


def shares_rows() -> bool:
    """Inside a step: return whether every image is spread over several devices.

    Without a mesh, and with a mesh of other axes than those of `make_mesh`, it is not.
    """
    return jax.sharding.get_abstract_mesh().shape.get("rows", 1) > 1


def by_image(images: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Inside a step: keep images whole, spread over all devices if their number allows it.

    For networks whose images are too small, or of too uneven sizes, to share rows.
    """
    if not shares_rows():
        return images
    even = len(images) % jax.sharding.get_abstract_mesh().size == 0
    return _constrain(images, P(("data", "rows")) if even else P("data"))


def by_rows(images: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Inside a step: shard images, or maps of images, like the batch: rows over `rows`.

    Otherwise, the compiler could apply the layout of `by_image` to everything else.
    """
    if not shares_rows() or images.shape[1] % jax.sharding.get_abstract_mesh().shape["rows"]:
        return images
    return _constrain(images, P("data", "rows"))


def _constrain(x: Array, spec: P) -> Array:
    # Steps are also used without a mesh.
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec)
