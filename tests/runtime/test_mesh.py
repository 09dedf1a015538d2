import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from msdi_jax.runtime import mesh


def test_a_mesh_of_one_device():
    for devices in (mesh.make_mesh(), mesh.make_mesh(1, 1), mesh.make_mesh(-1, 1)):
        assert dict(devices.shape) == {"data": 1, "rows": 1}
        # With explicit axes, reshapes of the networks would fail.
        assert devices.axis_types == (AxisType.Auto,) * 2


@pytest.mark.parametrize(
    "sizes", [(2, 1), (1, 2), (0, 1), (-2, 1), (1, -1), (-1, 0), (-1, -1)], ids=str
)
def test_wrong_products_are_refused(sizes):
    bound = "must be at most the" if sizes[0] > 0 else "must be the"
    with pytest.raises(ValueError, match=rf"{bound} number of devices, 1$"):
        mesh.make_mesh(*sizes)


def test_more_rows_than_devices_are_refused():
    with pytest.raises(ValueError, match=r"mesh\.rows=2 must be at most the number of devices, 1"):
        mesh.make_mesh(-1, 2)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((4, 3), "4 × 3 must be at most"),
        ((8, 2), "8 × 2 must be at most"),
        ((-1, 3), "2 × 3 must be"),
    ],
    ids=str,
)
def test_wrong_products_of_eight_devices_are_refused(monkeypatch, sizes, message):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    with pytest.raises(ValueError, match=f"{message} the number of devices, 8"):
        mesh.make_mesh(*sizes)


def test_several_processes_must_use_all_devices(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    assert mesh.make_mesh(1, 1).size == 1
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="1 × 1 must be the number of devices, 8"):
        mesh.make_mesh(1, 1)


def test_shardings_of_batches_and_replicas():
    devices = mesh.make_mesh()
    assert mesh.replicated(devices).spec == P()
    assert mesh.over_batch(devices).spec == P("data", "rows")
    assert mesh.over_batch(devices, rank=2).spec == P("data")
    batch = jax.device_put(np.ones((2, 4, 4, 3)), mesh.over_batch(devices))
    assert batch.sharding.mesh == devices
