"""Prints how far convolutions of many channels on 2×4 virtual devices are from one device's.

Run by test_sharding.py in a process of its own, since the number of devices is fixed at start.
"""

import jax
import jax.numpy as jnp
import numpy as np

from msdi_jax.networks import convolution
from msdi_jax.runtime.mesh import by_rows, make_mesh, over_batch, place


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 32, 24, convolution.MANY_CHANNELS)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, *2 * x.shape[-1:])).astype(np.float32) / 48

    def outputs(x, kernel):
        """The convolution, and the gradients of its squares."""

        def squares(x, kernel):
            y = convolution.convolve(by_rows(x), kernel, padding=1)
            return jnp.square(y).mean(), y

        gradients, y = jax.grad(squares, (0, 1), has_aux=True)(x, kernel)
        return y, *gradients

    expected = jax.jit(outputs)(x, kernel)
    mesh = make_mesh(2, 4)
    with jax.set_mesh(mesh):
        found = jax.jit(outputs)(place(x, over_batch(mesh)), kernel)
    assert len(found[0].sharding.device_set) == 8
    for a, b in zip(found, expected, strict=True):
        print(np.abs(np.asarray(a) - b).max() / np.abs(b).max())


if __name__ == "__main__":
    main()
