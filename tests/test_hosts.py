"""Which environments are taken for several processes."""

import pytest

from msdi_jax import hosts

SLURM = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, False),
        # In a batch script, before `srun`.
        (SLURM, False),
        (SLURM | {"SLURM_STEP_NODELIST": "node1"}, True),
        (SLURM | {"SLURM_STEP_NODELIST": "node1", "SLURM_NTASKS": "1"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
    ],
)
def test_several_processes(monkeypatch, environment, found):
    for name in (*SLURM, "SLURM_STEP_NODELIST", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert hosts._on_a_cluster() is found
