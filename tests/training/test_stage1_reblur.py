"""Stage 1 against two published-layout training steps in float64."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from msdi_jax.configs import base
from msdi_jax.models import Architecture
from msdi_jax.networks.functional import arrays_of, merge, split
from msdi_jax.networks.vgg import VGG19
from msdi_jax.training import optimizer, stage1_reblur
from msdi_jax.training.state import State

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


def test_published_steps(x64, stand_in, golden, image, assert_arrays):
    config = base.get_config()
    config.width = 8
    config.reblur.final_learning_rate = config.reblur.learning_rate
    config.reblur.vgg_normalise = False
    expected = golden("train-w8")
    batch = {
        key: jnp.asarray(image(name, (2, 64, 64, 3), dtype=np.float64))
        for key, name in (("blurry", "train-blur"), ("sharp", "train-sharp"))
    }
    vgg = stand_in(lambda rngs: VGG19(normalise=False, rngs=rngs), "vgg19", np.float64)
    parts = {
        "generator": split(
            stand_in(Architecture("reblur_deblur_net", 8).build, "MSDI2E-w8", np.float64)
        ),
        "discriminator": split(
            stand_in(
                Architecture("discriminator", 8).build,
                "MultiscaleDiscriminator-w8",
                np.float64,
            )
        ),
    }
    stage = stage1_reblur.ReblurStage(config, arrays_of(vgg))
    adam = optimizer.adam(config.reblur)
    state = State(
        step=jnp.zeros((), jnp.int32),
        params={name: part.params for name, part in parts.items()},
        stats={name: part.stats for name, part in parts.items()},
        opt={name: adam.init(part.params) for name, part in parts.items()},
        frozen={"vgg": arrays_of(vgg)},
        ema={},
        skipped=jnp.zeros((), jnp.int32),
    )
    step = jax.jit(stage.train_step)
    for row in expected["reblur/steps"]:
        state, scalars = step(state, batch)
        np.testing.assert_allclose([scalars[key] for key in SCALARS], row, rtol=1e-8)

    generator = stage.network(state)
    discriminator = merge(
        parts["discriminator"].graph, state.params["discriminator"], state.stats["discriminator"]
    )
    assert_arrays(generator, expected, "reblur/generator/", unused=("conv_02",))
    assert_arrays(discriminator, expected, "reblur/discriminator/")
    output = nnx.jit(lambda n, b, s: n(b, s))(generator, batch["blurry"], batch["sharp"])
    for name in ("deblurred", "reblurred"):
        np.testing.assert_allclose(
            getattr(output, name), expected[f"reblur/{name}_after"], rtol=0, atol=1e-6
        )
