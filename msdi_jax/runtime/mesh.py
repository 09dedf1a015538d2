"""Placement of arrays on a mesh of devices ('data', 'rows').

The batch is split over `data`, image rows over `rows`. Weights are everywhere, or, when that is
asked for, each in one piece per device of `data` (ZeRO). `jax.jit` follows these shardings and
inserts the collectives; models name no axes.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

# Smaller arrays are not worth a collective of their own.
SHARDED_SIZE = 4096


def make_mesh(data: int = -1, rows: int = 1) -> Mesh:
    """A mesh of data × rows devices; data = -1 takes what `rows` leaves.

    Raises:
        ValueError: if the product is not the number of devices; a single process may also use only
            its first few.
    """
    count = jax.device_count()
    few = data > 0 and jax.process_count() == 1
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
        # All of them are put in the order that suits their links.
        devices=jax.devices()[:size] if size < count else None,
    )


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def over_batch(mesh: Mesh, rank: int = 4) -> NamedSharding:
    """Sharding of a batch of images (b, h, w, c), or of values per image, of lower rank."""
    return NamedSharding(mesh, P("data", "rows") if rank == 4 else P("data"))


def batch_part(mesh: Mesh) -> tuple[int, int]:
    """(part, parts): which of how many equal parts of a batch this process's devices need.

    Processes whose devices share images along `rows` read the same part.
    """
    mine = np.vectorize(lambda d: d.process_index == jax.process_index())(mesh.devices)
    held = np.flatnonzero(mine.any(axis=1))
    parts, rest = divmod(len(mine), len(held))
    if rest or held[0] % len(held) or held[-1] - held[0] != len(held) - 1:
        return 0, 1
    return int(held[0]) // len(held), parts


def global_batch(local: Any, mesh: Mesh, batch_size: int) -> Any:
    """This process's part of a batch (see `batch_part`) as part of the global arrays."""
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
    """A sharding for every array of `tree`: its largest divisible dimension over `data`."""
    pieces = mesh.shape["data"]

    def rule(x) -> NamedSharding:
        divisible = [n if n % pieces == 0 else 0 for n in x.shape]
        if x.size < SHARDED_SIZE or not any(divisible):
            return replicated(mesh)
        axis = int(np.argmax(divisible))
        return NamedSharding(mesh, P(*[None] * axis, "data"))

    return jax.tree.map(rule, tree)


def place(tree: Any, shardings: Any) -> Any:
    """Puts host arrays, equal on all hosts, where `shardings` say.

    The result never aliases its source, so that it may be donated.
    """

    def put(x, sharding):
        whole = np.asarray(x)
        return jax.make_array_from_callback(whole.shape, sharding, lambda i: whole[i].copy())

    return jax.tree.map(put, tree, shardings)


def gathered(tree: Any) -> Any:
    """Inside a step: arrays in pieces become whole on every device."""
    return jax.tree.map(lambda x: _constrain(x, P()), tree)


def shares_rows() -> bool:
    """Inside a step: whether every image is spread over several devices.

    No mesh, and one of other axes than `make_mesh` gives, count as none that do.
    """
    return jax.sharding.get_abstract_mesh().shape.get("rows", 1) > 1


def by_image(images: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Inside a step: whole images, spread over all devices where their number allows it.

    For networks whose images are too small, or whose odd sizes fall too badly, to share rows.
    """
    if not shares_rows():
        return images
    even = len(images) % jax.sharding.get_abstract_mesh().size == 0
    return _constrain(images, P(("data", "rows")) if even else P("data"))


def by_rows(images: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Inside a step: images, or maps of images, as the batch is: rows over `rows`.

    Otherwise the compiler could spread the layout of `by_image` to everything else.
    """
    if not shares_rows() or images.shape[1] % jax.sharding.get_abstract_mesh().shape["rows"]:
        return images
    return _constrain(images, P("data", "rows"))


def _constrain(x: Array, spec: P) -> Array:
    # Steps are also used without any mesh.
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec)
