"""What the fields behind configs/ablation.py turn off, or on: seen in one training step."""

import jax
import numpy as np
import pytest
from flax import nnx

from msdi_jax.configs import base
from msdi_jax.networks.degradation import DegradationEstimator
from msdi_jax.networks.functional import abstract, arrays_of
from msdi_jax.training.stage1_reblur import ReblurStage
from msdi_jax.training.stage2_deblur import DeblurStage
from tests.small_networks import draw_arrays

RNG = np.random.default_rng(0)
BATCH = {key: RNG.integers(0, 256, (2, 32, 32, 3), np.uint8) for key in ("blurry", "sharp")}


def settings():
    config = base.get_config()
    config.width = 2
    return config


def deblur_stage(config):
    degradation = arrays_of(draw_arrays(abstract(lambda rngs: DegradationEstimator(2, rngs=rngs))))
    return DeblurStage(config, degradation, degradation["encoder"]["shallow"]), degradation


def moved(before, after):
    """Whether any array of a tree moved."""
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return any(not np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def after_reblur_step():
    config = settings()
    config.reblur.update({"adversarial": False, "perceptual_weight": 0.0})
    stage = ReblurStage(config)
    before = stage.init(jax.random.key(0))
    return before, *jax.jit(stage.train_step)(before, BATCH)


@pytest.mark.slow  # a training step to compile, as below
def test_without_reblurring_only_deblurring_is_learnt(after_reblur_step):
    before, after, scalars = after_reblur_step
    assert not [key for key in scalars if key.startswith(("hinge", "feature"))]
    assert not moved(before.params["discriminator"], after.params["discriminator"])
    generator, trained = before.params["generator"], after.params["generator"]
    assert not moved(generator["reblur"], trained["reblur"])
    assert moved(generator["deblur"], trained["deblur"])
    assert moved(generator["degradation"], trained["degradation"])


@pytest.mark.slow
def test_the_encoder_may_be_trained_on():
    config = settings()
    config.deblur.train_encoder = True
    stage, degradation = deblur_stage(config)
    before = stage.init(jax.random.key(0))
    assert not moved(degradation, arrays_of(stage.network(before).degradation))
    after, _ = jax.jit(stage.train_step)(before, BATCH)
    for part in ("encoder", "pyramid"):
        assert moved(before.params["degradation"][part], after.params["degradation"][part])
    assert moved(degradation, arrays_of(stage.network(after).degradation))
    # The loss's own features stay what they were.
    assert not moved(before.frozen["features"], after.frozen["features"])


def test_unmodulated_skips_do_not_see_the_representation():
    config = settings()
    config.deblur.injected = ()
    stage, _ = deblur_stage(config)
    network = stage.network(stage.init(jax.random.key(0)))
    image = np.asarray(BATCH["blurry"] / 255, np.float32)
    own = network.degradation(image)
    other = jax.tree.map(lambda x: x + 1, own)
    call = nnx.jit(lambda network, degradation: network(image, degradation).deblurred)
    np.testing.assert_array_equal(call(network, own), call(network, other))
    names = {path[0] for path, _ in nnx.to_flat_state(nnx.state(network))}
    assert "modulation" not in names
