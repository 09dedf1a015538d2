"""Stage 2 against three published-layout training steps in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax.configs import base
from msdi_jax.models import Architecture
from msdi_jax.networks.functional import arrays_of
from msdi_jax.networks.msdi_net import MSDIOutput
from msdi_jax.training import optimizer, stage2_deblur
from msdi_jax.training.state import State


@pytest.fixture
def config():
    config = base.get_config()
    config.width, config.version = 8, 1
    config.deblur.final_learning_rate = config.deblur.learning_rate
    return config


def test_published_steps(x64, config, stand_in, golden, image, assert_arrays):
    expected = golden("train-w8")
    batch = {
        key: jnp.asarray(image(name, (2, 64, 64, 3), dtype=np.float64))
        for key, name in (("blurry", "train-blur"), ("sharp", "train-sharp"))
    }
    network = stand_in(Architecture("msdi_net", 8, version=1).build, "msdi_net-w8", np.float64)
    _, frozen, params, stats = nnx.split(network, nnx.PathContains("degradation"), nnx.Param, ...)
    degradation = nnx.to_pure_dict(frozen)["degradation"]
    stage = stage2_deblur.DeblurStage(config, degradation, degradation["encoder"]["shallow"])
    params = nnx.to_pure_dict(params)
    state = State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        stats=nnx.to_pure_dict(stats),
        opt=optimizer.adam(config.deblur).init(params),
        frozen={"degradation": degradation, "features": degradation["encoder"]["shallow"]},
        ema={},
        skipped=jnp.zeros((), jnp.int32),
    )
    step = jax.jit(stage.train_step)
    for row in expected["deblur/steps"]:
        state, scalars = step(state, batch)
        found = [scalars[key] for key in ("psnr_loss", "feature_loss", "gradient_norm")]
        np.testing.assert_allclose(found, row, rtol=1e-8)
    assert int(state.step) == 3
    after = stage.network(state)
    assert_arrays(after, expected, "deblur/after/", unused=("conv_4", "free_norm"))
    output = nnx.jit(lambda n, x: n(x).deblurred)(after, batch["blurry"])
    np.testing.assert_allclose(output, expected["deblur/out2_after"], rtol=0, atol=1e-6)


def test_psnr_has_a_floor_and_features_are_left_out_at_weight_0():
    config = base.get_config()
    config.width = 2
    rng = np.random.default_rng(0)
    sharp, deblurred, intermediate = jnp.asarray(rng.uniform(size=(3, 2, 16, 16, 3)))
    output = MSDIOutput(deblurred, intermediate)
    config.deblur.update({"psnr_floor": 0.1, "feature_weight": 0.0})
    terms = stage2_deblur.DeblurStage(config, {}, {})._loss_terms({}, output, sharp)
    found = 10 * np.log10(np.square(np.stack(output) - sharp).mean((2, 3, 4)) + 0.1).mean()
    assert terms == {"psnr_loss": pytest.approx(found, rel=1e-4)}


def test_features_are_of_what_the_encoder_sees():
    """Of local contrast, half of it is as good as all."""
    config = base.get_config()
    config.update({"width": 2, "native": True})
    image = np.random.default_rng(0).uniform(size=(1, 32, 32, 3))
    sharp, weak = (jnp.asarray(x, jnp.float32) for x in (image, image / 2 + 0.25))
    losses = []
    for config.contrast in (False, True):
        degradation = arrays_of(
            Architecture.from_config(config, "deblur").build(nnx.Rngs(0)).degradation
        )
        stage = stage2_deblur.DeblurStage(config, degradation, degradation["encoder"]["shallow"])
        terms = stage._loss_terms(stage.frozen, MSDIOutput(weak, weak), sharp)
        losses.append(float(terms["feature_loss"]))
    assert losses[1] < 0.05 * losses[0]
