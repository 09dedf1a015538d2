"""Stage 2 against three published-layout training steps in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import base
from msdi_jax import deblur
from msdi_jax.convert import to_published


@pytest.fixture
def config():
    config = base.get_config()
    config.width, config.version = 8, 1
    config.deblur.final_learning_rate = config.deblur.learning_rate
    return config


def test_published_steps(x64, config, stand_in, golden, image):
    expected = golden("train-w8")
    batch = {
        key: jnp.asarray(image(name, (2, 64, 64, 3), dtype=np.float64))
        for key, name in (("blurry", "train-blur"), ("sharp", "train-sharp"))
    }
    network = stand_in(lambda: deblur.make_network(config, nnx.Rngs(0)), "msdi_net-w8", np.float64)
    _, frozen, params, stats = nnx.split(network, nnx.PathContains("degradation"), nnx.Param, ...)
    degradation = nnx.to_pure_dict(frozen)["degradation"]
    stage = deblur.stage(config, degradation, degradation["encoder"]["shallow"])
    params = nnx.to_pure_dict(params)
    state = dataclasses.replace(
        stage.init(jax.random.key(0)),
        params=params,
        stats=nnx.to_pure_dict(stats),
        opt=deblur.optimise.adam(config.deblur).init(params),
    )
    step = jax.jit(stage.train_step)
    for row in expected["deblur/steps"]:
        state, scalars = step(state, batch)
        found = [scalars[key] for key in ("psnr_loss", "feature_loss", "gradient_norm")]
        np.testing.assert_allclose(found, row, rtol=1e-8)
    assert int(state.step) == 3
    after = stage.network(state)
    assert_arrays(to_published(after), expected, "deblur/after/", unused=("conv_4", "free_norm"))
    output = nnx.jit(lambda n, x: n(x).deblurred)(after, batch["blurry"])
    np.testing.assert_allclose(output, expected["deblur/out2_after"], rtol=0, atol=1e-6)


def assert_arrays(found, expected, prefix, unused):
    """Sum, norm, first and last value of every published array."""
    keys = [k for k in expected.files if k.startswith(prefix) and not any(u in k for u in unused)]
    assert len(keys) > 100
    for key in keys:
        array = found[key.removeprefix(prefix)]
        summary = [array.sum(), np.linalg.norm(array), array.flat[0], array.flat[-1]]
        scale = np.abs(expected[key]).max()
        np.testing.assert_allclose(
            summary, expected[key], rtol=1e-7, atol=1e-7 * scale, err_msg=key
        )
