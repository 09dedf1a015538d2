import os

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from msdi_jax.runtime.checkpoint import Checkpoints, load_arrays, save_arrays
from msdi_jax.runtime.mesh import make_mesh, replicated
from msdi_jax.training import optimizer
from msdi_jax.training.state import State


def state(step):
    """A state whose arrays all depend on the step."""
    rng = np.random.default_rng(step)
    params = {
        "a": [jnp.asarray(rng.normal(size=(2, 3)), jnp.float32)],
        "b": jnp.asarray(rng.normal(size=4), jnp.bfloat16),
    }
    adam = optimizer.adam(
        ml_collections.ConfigDict(
            {"adam_b1": 0.9, "adam_b2": 0.99, "adam_eps": 1e-8, "weight_decay": 0.0}
        )
    )
    opt = adam.update(params, adam.init(params))[1]
    stats = {"u": jnp.asarray(rng.normal(size=5), jnp.float32)}
    return State(
        jnp.asarray(step, jnp.int32),
        params,
        stats,
        opt,
        {"frozen": jnp.full(2, step)},
        {},
        jnp.zeros((), jnp.int32),
    )


def assert_equal(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def open_checkpoints(tmp_path):
    opened = []

    def make(**options):
        opened.append(Checkpoints(tmp_path / "deep" / "checkpoints", **options))
        return opened[-1]

    yield make
    for checkpoints in opened:
        checkpoints.close()


def test_without_checkpoints_there_is_no_latest(open_checkpoints):
    assert open_checkpoints().latest() is None


def test_another_process_resumes_from_the_latest(open_checkpoints):
    first = open_checkpoints()
    for step in (5, 20):
        first.save(state(step))
    first.wait()
    again = open_checkpoints()
    assert again.latest() == 20
    like = jax.eval_shape(lambda: state(0))
    assert_equal(again.restore(state(0)), state(20))
    restored = again.restore(jax.tree.map(with_sharding(replicated(make_mesh())), like))
    assert_equal(restored, state(20))
    assert restored.step.sharding == replicated(make_mesh())


def with_sharding(sharding):
    return lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)


def test_only_the_latest_are_kept(open_checkpoints, tmp_path):
    checkpoints = open_checkpoints(keep_last=2)
    for step in (1, 2, 3, 4):
        checkpoints.save(state(step))
    checkpoints.wait()
    kept = [p.name for p in (tmp_path / "deep" / "checkpoints").iterdir()]
    assert sorted(kept) == ["3", "4"]
    assert_equal(checkpoints.restore(state(0)), state(4))


def test_saving_a_step_twice_does_nothing(open_checkpoints):
    checkpoints = open_checkpoints()
    checkpoints.save(state(3))
    checkpoints.wait()
    checkpoints.save(State(jnp.asarray(3), *[{}] * 5, jnp.zeros((), jnp.int32)))
    checkpoints.wait()
    assert_equal(checkpoints.restore(state(0)), state(3))


def test_saved_arrays_do_not_depend_on_their_source(open_checkpoints):
    """Training steps donate the state: the background writer must have its own copy."""
    checkpoints, source = open_checkpoints(), state(3)
    checkpoints.save(source)
    for leaf in jax.tree.leaves(source):
        leaf.delete()
    checkpoints.wait()
    assert_equal(checkpoints.restore(state(0)), state(3))


def test_an_unfinished_checkpoint_is_ignored(open_checkpoints, tmp_path):
    first = open_checkpoints()
    first.save(state(3))
    first.wait()
    (tmp_path / "deep" / "checkpoints" / "7.orbax-checkpoint-tmp").mkdir()
    assert open_checkpoints().latest() == 3


def test_arrays_are_saved_and_read_by_relative_paths(tmp_path, monkeypatch):
    """Relative paths work, although orbax needs absolute ones."""
    monkeypatch.chdir(tmp_path)
    arrays = {"a": {"0": jnp.arange(6.0).reshape(2, 3)}, "b": jnp.asarray(3, jnp.int32)}
    save_arrays(tmp_path.relative_to(tmp_path) / "arrays", arrays)
    shapes = jax.eval_shape(lambda: arrays)
    assert_equal(load_arrays(tmp_path.relative_to(tmp_path) / "arrays", shapes), arrays)
    shapes["b"] = jax.ShapeDtypeStruct((4,), jnp.int32)
    with pytest.raises(ValueError, match="shape"):
        load_arrays(tmp_path / "arrays", shapes)


def test_a_truncated_file_of_arrays_is_refused(tmp_path):
    """The index is complete, the array is not: reading it fails."""
    arrays = {"a": np.random.default_rng(0).random((1024, 1024), np.float32)}
    save_arrays(tmp_path / "arrays", arrays)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    with pytest.raises(ValueError, match="Error reading"):
        load_arrays(tmp_path / "arrays", {"a": jax.ShapeDtypeStruct((1024, 1024), np.float32)})
