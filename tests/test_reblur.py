"""Stage 1 against two published-layout training steps in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import base
from msdi_jax import reblur
from msdi_jax.convert import to_published
from msdi_jax.state import arrays_of, merge, split
from msdi_jax.vgg import VGG19

SCALARS = (
    "hinge_generator",
    "feature_matching",
    "perceptual",
    "l1",
    "gradient_norm_generator",
    "hinge_fake",
    "hinge_real",
    "gradient_norm_discriminator",
)


def test_published_steps(x64, stand_in, golden, image):
    config = base.get_config()
    config.width = 8
    config.reblur.final_learning_rate = config.reblur.learning_rate
    config.reblur.vgg_normalise = False
    expected = golden("train-w8")
    batch = {
        key: jnp.asarray(image(name, (2, 64, 64, 3), dtype=np.float64))
        for key, name in (("blurry", "train-blur"), ("sharp", "train-sharp"))
    }
    rngs = nnx.Rngs(0)
    vgg = stand_in(lambda: VGG19(normalise=False, rngs=rngs), "vgg19", np.float64)
    parts = {
        "generator": split(
            stand_in(lambda: reblur.make_network(config, rngs), "MSDI2E-w8", np.float64)
        ),
        "discriminator": split(
            stand_in(
                lambda: reblur.make_discriminator(config, rngs),
                "MultiscaleDiscriminator-w8",
                np.float64,
            )
        ),
    }
    stage = reblur.stage(config, arrays_of(vgg))
    adam = reblur.optimise.adam(config.reblur)
    state = dataclasses.replace(
        stage.init(jax.random.key(0)),
        params={name: part.params for name, part in parts.items()},
        stats={name: part.stats for name, part in parts.items()},
        opt={name: adam.init(part.params) for name, part in parts.items()},
    )
    step = jax.jit(stage.train_step)
    for row in expected["reblur/steps"]:
        state, scalars = step(state, batch)
        np.testing.assert_allclose([scalars[key] for key in SCALARS], row, rtol=1e-8)

    generator = stage.network(state)
    judge = merge(
        parts["discriminator"].graph, state.params["discriminator"], state.stats["discriminator"]
    )
    assert_arrays(generator, expected, "reblur/generator/", unused=("conv_02",))
    assert_arrays(judge, expected, "reblur/discriminator/")
    output = nnx.jit(lambda n, b, s: n(b, s))(generator, batch["blurry"], batch["sharp"])
    for name in ("deblurred", "reblurred"):
        np.testing.assert_allclose(
            getattr(output, name), expected[f"reblur/{name}_after"], rtol=0, atol=1e-6
        )


def assert_arrays(network, expected, prefix, unused=()):
    """Sum, norm, first and last value of every published array."""
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
        scale = np.abs(expected[key]).max()
        np.testing.assert_allclose(
            summary, expected[key], rtol=1e-7, atol=1e-7 * scale, err_msg=key
        )


@pytest.mark.parametrize("anneal", [True, False])
def test_generator_rate_follows_the_schedule_unless_told_otherwise(anneal):
    config = base.get_config()
    config.width = 2
    config.reblur.anneal_generator = anneal
    stage = reblur.stage(config)
    state = jax.eval_shape(stage.init, jax.random.key(0))
    batch = {k: jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8) for k in ("blurry", "sharp")}
    _, scalars = jax.eval_shape(stage.train_step, state, batch)
    assert ("learning_rate_generator" in scalars) and "perceptual" not in scalars
    assert scalars["learning_rate_generator"].shape == ()
