"""Shared by all tests: stand-ins for the published weights, and the golden arrays."""

import functools
import importlib.util
import os
import tempfile
from pathlib import Path

# Before jax is imported: the tests spend their time compiling, not computing, and as many of them
# run at once as there are cores.
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
        os.environ.get("XLA_FLAGS", ""),
    ]
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax.interop.convert import from_published, to_published
from msdi_jax.networks.functional import abstract
from msdi_jax.runtime import target

HERE = Path(__file__).parent
# Files that take minutes begin, so that one process does not end with them alone.
LONGEST = ["run", "degradation", "stage1_reblur", "stage2_deblur", "export", "sharding"]
_spec = importlib.util.spec_from_file_location("recipe", HERE / "reference" / "recipe.py")
recipe = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(recipe)


def pytest_configure(config):
    """What a process of this run has compiled, none needs to again, be it pytest's or launched."""
    if hasattr(config, "workerinput"):
        return
    programs = tempfile.TemporaryDirectory(prefix="msdi_jax-programs-")
    config.add_cleanup(programs.cleanup)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = programs.name
    jax.config.update("jax_compilation_cache_dir", programs.name)


def pytest_collection_modifyitems(items):
    names = [f"test_{name}" for name in LONGEST]
    items.sort(key=lambda item: (*names, item.path.stem).index(item.path.stem))


# Folders and files whose programs have the exact rewrites of this machine's platform. All others
# are traced without, which takes a third less time to compile.
REWRITTEN = ("networks", "runtime", "faults", "test_stage1_reblur", "test_stage2_deblur")


@pytest.fixture(scope="module", autouse=True)
def traced_plainly(request):
    """Trace plain programs, where the test is not of the rewrites or of published numbers."""
    path = request.path.relative_to(HERE)
    plain = not {*path.parts, path.stem} & set(REWRITTEN)
    target.set_default(target.PLAIN if plain else None)
    yield
    target.set_default(None)


@pytest.fixture(scope="session")
def golden():
    """NAME → the arrays of tests/golden/NAME.npz."""
    return lambda name: np.load(HERE / "golden" / f"{name}.npz")


@pytest.fixture(scope="session")
def image():
    """(name, shape) → a deterministic image batch in [0, 1]."""
    return recipe.image


@pytest.fixture(scope="session")
def state_dict():
    """(name, dtype) → stand-in weights under the keys and shapes of tests/reference/NAME.tsv."""

    def make(name, dtype=np.float32):
        spec = recipe.read_spec(HERE / "reference" / f"{name}.tsv")
        return recipe.state_dict(spec, dtype=dtype)

    small = functools.cache(make)
    return lambda name, dtype=np.float32: (small if "w8" in name else make)(name, dtype)


@pytest.fixture(scope="session")
def stand_in(state_dict):
    """(make(rngs), name) → the network with the stand-in weights of tests/reference/NAME.tsv."""

    def build(make, name, dtype=np.float32):
        network = abstract(make)
        arrays, _ = from_published(network, state_dict(name, dtype))
        graph, _ = nnx.split(network)
        # Contiguous, since jax would keep a transposed view's layout.
        return nnx.merge(graph, jax.tree.map(lambda x: jnp.array(np.ascontiguousarray(x)), arrays))

    return build


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def assert_arrays():
    """Compares sum, norm, first and last value of every array with the golden's after training."""

    def check(network, expected, prefix, unused=()):
        found = to_published(network)
        keys = [
            key
            for key in expected.files
            if key.startswith(prefix) and not any(name in key for name in unused)
        ]
        assert len(keys) >= 24
        for key in keys:
            array = found[key.removeprefix(prefix)]
            summary = [array.sum(), np.linalg.norm(array), array.flat[0], array.flat[-1]]
            tolerance = 1e-7 * np.abs(expected[key]).max()
            np.testing.assert_allclose(
                summary, expected[key], rtol=1e-7, atol=tolerance, err_msg=key
            )

    return check
