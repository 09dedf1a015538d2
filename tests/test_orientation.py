import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msdi_jax import orientation

WAYS = [jnp.asarray(way) for way in itertools.product((False, True), repeat=3)]


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(size=(2, 4, 4, 3)).astype(np.float32)


def test_eight_ways_to_turn(images):
    """Those of a self-ensemble: four rotations, with and without a flip."""
    found = {np.asarray(orientation.turned(images, way)).tobytes() for way in WAYS}
    expected = {
        np.rot90(x, turns, (1, 2)).tobytes()
        for x in (images, images[:, :, ::-1])
        for turns in range(4)
    }
    assert len(found) == 8
    assert found == expected


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_back_again(images, way):
    there = orientation.turned(images, way)
    np.testing.assert_array_equal(orientation.turned_back(there, way), images)


def test_all_are_drawn():
    drawn = [tuple(np.asarray(orientation.draw(jax.random.key(i)))) for i in range(400)]
    counts = [drawn.count(way) for way in itertools.product((False, True), repeat=3)]
    assert min(counts) > 25
    assert sum(counts) == 400
