import numpy as np
import pytest

from msdi_jax.models.self_ensemble import ORIENTATIONS, ensemble


@pytest.mark.parametrize("count", ORIENTATIONS)
def test_ensemble_averages_orientations(count):
    """The restorer darkens the top left pixel: each corner once, with 8 orientations twice."""
    inputs = []

    def darken(x):
        inputs.append(x.copy())
        y = x.copy()
        y[:, 0, 0] -= 8
        return y

    x = np.random.default_rng(0).uniform(size=(1, 3, 4, 3)).astype(np.float32)
    expected = x.copy()
    # Upside down, the bottom is on top; after a quarter turn to the left, the right side is.
    for row, column in [(0, 0), (-1, 0), (0, -1), (-1, -1)][:count]:
        expected[:, row, column] -= 8 / min(count, 4)
    np.testing.assert_allclose(ensemble(darken, count)(x), expected, atol=1e-6)
    assert len({y.tobytes() for y in inputs}) == count
