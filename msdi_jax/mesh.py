"""Where arrays live: the batch over mesh axis `data`, image rows over `rows`, weights everywhere.

`jax.jit` follows these shardings and inserts the collectives; models name no axes.
"""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


def make_mesh(data: int = -1, rows: int = 1) -> Mesh:
    """A mesh of data × rows devices; data = -1 takes what `rows` leaves.

    Raises:
        ValueError: if the product is not the number of devices.
    """
    count = jax.device_count()
    if data == -1 and rows > 0:
        data = count // rows
    if min(data, rows) < 1 or data * rows != count:
        raise ValueError(
            f"mesh.data × mesh.rows = {data} × {rows} must be the number of devices, {count}"
        )
    return jax.make_mesh((data, rows), ("data", "rows"), axis_types=(AxisType.Auto,) * 2)


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def over_batch(mesh: Mesh) -> NamedSharding:
    """For image batches (b, h, w, c)."""
    return NamedSharding(mesh, P("data", "rows"))
