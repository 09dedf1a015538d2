"""Several devices give one device's losses: batch split, rows split, and both."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


# Stage 1 on three meshes takes minutes to compile.
@pytest.mark.parametrize("stage", ["deblur", pytest.param("reblur", marks=pytest.mark.slow)])
def test_meshes_give_one_device_s_losses(stage):
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-m", "tests.sharded_steps", stage, "4x1", "2x2"],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for mesh in ("4x1", "2x2"):
        for expected, step in zip(found["one"], found[mesh], strict=True):
            assert step == pytest.approx(expected, rel=2e-4), mesh
