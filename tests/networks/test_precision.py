"""Training steps in bfloat16: results close to those in float32, weights kept in float32."""

import jax
import numpy as np
import pytest
from flax import nnx

from msdi_jax.configs import base
from msdi_jax.networks.degradation import DegradationEstimator
from msdi_jax.networks.functional import arrays_of
from msdi_jax.training.stage1_reblur import ReblurStage
from msdi_jax.training.stage2_deblur import DeblurStage


def first_step(name, compute_dtype):
    config = base.get_config()
    config.width, config.compute_dtype = 4, compute_dtype
    # Plain descent (see sharded_steps.py), so that the change is the gradient.
    config[name].update({"adam_eps": 1.0, "learning_rate": 1.0, "clip_norm": 1e9})
    if name == "reblur":
        stage = ReblurStage(config)
    else:
        degradation = arrays_of(DegradationEstimator(4, rngs=nnx.Rngs(1)))
        stage = DeblurStage(config, degradation, degradation["encoder"]["shallow"])
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (2, 8, 8, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    before = stage.init(jax.random.key(0))
    batch = {"blurry": smooth, "sharp": np.roll(smooth, 3, axis=2)}
    after, scalars = jax.jit(stage.train_step)(before, batch)
    return before, after, {key: float(value) for key, value in scalars.items()}


@pytest.mark.slow  # four training steps to compile
@pytest.mark.parametrize("name", ["deblur", "reblur"])
def test_bfloat16_steps_are_close_to_float32_steps(name):
    before, wide, expected = first_step(name, "float32")
    _, narrow, scalars = first_step(name, "bfloat16")
    for state in (wide, narrow):
        kept = jax.tree.leaves((state.params, state.stats))
        assert all(x.dtype == np.float32 for x in kept)
    for key, value in expected.items():
        # Biases of the outputs add up thousands of gradients that nearly cancel.
        rel = 0.25 if "gradient_norm" in key else 0.05
        if "accuracy" not in key:
            assert scalars[key] == pytest.approx(value, rel=rel, abs=0.02), key
    # It is not float32 under another name.
    assert scalars != expected

    def change(state):
        new, old = (jax.tree.leaves(s.params) for s in (state, before))
        return np.concatenate([(a - b).ravel() for a, b in zip(new, old, strict=True)])

    a, b = change(wide), change(narrow)
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.98
