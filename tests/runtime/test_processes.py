"""Detection of clusters, and printing."""

import io
import sys

import pytest

from msdi_jax.runtime import processes

SLURM = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"}


@pytest.mark.parametrize(
    ("environment", "several"),
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
def test_clusters_are_detected_from_the_environment(monkeypatch, environment, several):
    for name in (*SLURM, "SLURM_STEP_NODELIST", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes._on_a_cluster() is several


def test_characters_without_encoding_are_printed_as_question_marks(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    processes.print_anywhere()
    print("1 → 2 dB", flush=True)
    assert terminal.buffer.getvalue() == b"1 ? 2 dB\n"
