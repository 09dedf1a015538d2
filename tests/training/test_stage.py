"""The step both stages are made of, on a loss whose gradient is known."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from msdi_jax.training import optimizer, stage

SETTINGS = ml_collections.ConfigDict(
    {
        "accumulate": 1,
        "clip_norm": 0.01,
        "adam_b1": 0.9,
        "adam_b2": 0.99,
        "adam_eps": 1e-8,
        "weight_decay": 0.0,
    }
)


def loss(params, images):
    """mean (w · x)²: the gradient is 2 w · mean x²; the statistic is the mean of x."""
    value = jnp.square(params["w"] * images).mean()
    return value, ({"square": value}, {"mean": images.mean()})


def optimizer_step(params, images, **fields):
    settings = ml_collections.ConfigDict(SETTINGS.to_dict() | fields)
    opt = optimizer.adam(settings).init(params)
    stats = {"mean": jnp.zeros(())}
    return stage.optimizer_step(loss, params, opt, stats, images, settings=settings, rate=0.1)


def test_move():
    images = jnp.asarray([1.0, 2.0, 3.0, 4.0])
    new = optimizer_step({"w": jnp.asarray(3.0)}, images)
    assert float(new.scalars["square"]) == pytest.approx(9 * 7.5)
    assert float(new.scalars["gradient_norm"]) == pytest.approx(2 * 3 * 7.5)
    assert float(new.scalars["weight_norm"]) == pytest.approx(3)
    assert float(new.scalars["learning_rate"]) == pytest.approx(0.1)
    # Adam's first step is the rate itself, whatever the gradient.
    assert float(new.params["w"]) == pytest.approx(2.9, abs=1e-4)
    assert float(new.stats["mean"]) == 2.5
    assert bool(new.finite)


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(parts):
    images = jnp.asarray(np.random.default_rng(0).normal(size=8), jnp.float32)
    params = {"w": jnp.asarray(3.0)}
    whole, found = optimizer_step(params, images), optimizer_step(params, images, accumulate=parts)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_only_parameters_are_computed_with_in_bfloat16():
    arrays = {"layer": {"kernel": jnp.ones(2), "u": jnp.ones(2)}, "norm": {"var": jnp.ones(2)}}
    found = stage.cast(arrays, "bfloat16")
    assert found["layer"]["kernel"].dtype == jnp.bfloat16
    assert found["layer"]["u"].dtype == found["norm"]["var"].dtype == jnp.float32
    assert stage.cast(arrays, "tensorfloat32") is arrays


def test_parts_are_interleaved():
    """Neighbours, which lie on one device, go to different parts."""

    def largest(params, images):
        value = params["w"] * images.max()
        return value, ({"largest": value}, {})

    images = jnp.arange(6.0)
    _, (scalars, _) = stage.mean_gradient(largest, {"w": jnp.asarray(1.0)}, images, 2)
    assert float(scalars["largest"]) == (4 + 5) / 2


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_nothing_moves_when_something_is_not_finite(wrong):
    params = {"w": jnp.asarray(3.0)}
    new = optimizer_step(params, jnp.asarray([1.0, wrong]))
    assert not bool(new.finite)
    assert float(new.params["w"]) == 3
    assert float(new.stats["mean"]) == 0
    assert all(np.all(np.asarray(x) == 0) for x in jax.tree.leaves(new.opt))


def test_moving_average():
    new = optimizer_step({"w": jnp.asarray(3.0)}, jnp.asarray([1.0, 2.0]))
    found = stage.moving_average({"w": jnp.asarray(1.0)}, new, 0.75)
    assert float(found["w"]) == pytest.approx(0.75 + 0.25 * float(new.params["w"]))
    assert stage.moving_average({}, new, 0.75) == {}


def test_the_moving_average_stays_where_nothing_moved():
    new = optimizer_step({"w": jnp.asarray(3.0)}, jnp.asarray([1.0, np.nan]))
    found = stage.moving_average({"w": jnp.asarray(1.0)}, new, 0.75)
    assert float(found["w"]) == 1
