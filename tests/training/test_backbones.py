"""NAFNet and HINet in stage 2: published steps in float64, and starts from a NAFNet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax import models
from msdi_jax.configs import base
from msdi_jax.interop.torch_keys import to_published
from msdi_jax.models import Architecture
from msdi_jax.networks.functional import abstract, arrays_of, split
from msdi_jax.training import optimizer, run, stage2_deblur
from msdi_jax.training.state import State
from tests.small_networks import draw_arrays

BLOCKS = (1, 1, 1, 2, 1, 1, 1, 1, 1)
NAFNET = {"adam_b1": 0.9, "adam_b2": 0.9, "learning_rate": 1e-3, "weight_decay": 1e-3}
HINET = {"adam_b1": 0.9, "adam_b2": 0.99, "learning_rate": 2e-4}


def stage_config(kind, **settings):
    config = base.get_config()
    config.stages, config.width = ("deblur",), 8
    config.deblur.update({"network": kind, "blocks": BLOCKS, "feature_weight": 0.0, **settings})
    config.deblur.final_learning_rate = config.deblur.learning_rate
    return config


@pytest.mark.parametrize(
    ("kind", "settings", "prefix"), [("nafnet", NAFNET, "nafnet-"), ("hinet", HINET, "")]
)
def test_published_steps(x64, stand_in, golden, image, kind, settings, prefix):
    expected, config = golden(f"{kind}-train-w8"), stage_config(kind, **settings)
    batch = {
        key: jnp.asarray(image(f"{prefix}train-{key}", (2, 64, 64, 3), dtype=np.float64))
        for key in ("blurry", "sharp")
    }
    stage = stage2_deblur.DeblurStage(config)
    network = stand_in(stage.architecture.build, f"{kind}-w8", np.float64)
    _, params, stats = split(network)
    opt = optimizer.adam(config.deblur).init(params)
    state = State(jnp.zeros((), jnp.int32), params, stats, opt, {}, {}, jnp.zeros((), jnp.int32))
    step = jax.jit(stage.train_step)
    for i in range(2):
        state, scalars = step(state, batch)
        np.testing.assert_allclose(scalars["psnr_loss"], expected[f"loss/{i}"], rtol=1e-8)
        np.testing.assert_allclose(
            scalars["gradient_norm"], expected[f"gradient_norm/{i}"], rtol=1e-8
        )
    after = stage.network(state)
    arrays = to_published(after)
    for key, array in arrays.items():
        every = max(1, array.size // 256)
        wanted = expected[f"after/{key}"]
        np.testing.assert_allclose(array.ravel()[::every], wanted, rtol=1e-7, atol=1e-9)
    assert sum(name.startswith("after/") for name in expected.files) == len(arrays)
    output = nnx.jit(lambda n, x: n(x).deblurred)(after, batch["blurry"])
    np.testing.assert_allclose(output, expected["deblurred_after"], rtol=0, atol=1e-7)


def save(folder, architecture):
    network = architecture.build(nnx.Rngs(0))
    models.save(folder, network, models.Description(architecture, {}, ""))
    return network


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A NAFNet and a degradation encoder, saved."""
    folder = tmp_path_factory.mktemp("sources")
    save(folder / "nafnet", Architecture("nafnet", 4, blocks=(1, 1, 1)))
    save(folder / "degradation", Architecture("degradation", 2))
    return folder


def modulated_config(sources, **more):
    config = stage_config("modulated_nafnet", blocks=(1, 1, 1), width=4, injected=(0,))
    config.width = 2
    config.deblur.update({"start_from": str(sources / "nafnet")} | more)
    return config


def test_a_modulated_nafnet_starts_as_the_nafnet(sources, tmp_path, image):
    config = modulated_config(sources, degradation_from=str(sources / "degradation"))
    run.check_config(config)
    stage = run.make_stage("deblur", config, tmp_path)
    network = stage.network(stage.init(jax.random.key(0)))
    images = image("nafnet-a", (1, 32, 32, 3))
    plain = models.load(sources / "nafnet").network
    np.testing.assert_array_equal(
        nnx.jit(lambda n, x: n(x).deblurred)(network, images),
        nnx.jit(lambda n, x: n(x).deblurred)(plain, images),
    )
    encoder = arrays_of(models.load(sources / "degradation").network)
    jax.tree.map(np.testing.assert_array_equal, arrays_of(network)["degradation"], encoder)


def test_a_modulated_nafnet_needs_an_encoder(sources):
    with pytest.raises(ValueError, match="nafnet has no degradation encoder: give deblur"):
        run.check_config(modulated_config(sources))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deblur.blocks": (1, 2, 1)}, r"a different nafnet: set .*, deblur\.blocks=\(1, 1, 1\)"),
        ({"deblur.network": "hinet"}, "is a nafnet model, not hinet"),
        ({"deblur.network": "resnet"}, "'resnet' must be one of msdi_net, modulated_nafnet, naf"),
    ],
)
def test_other_networks_to_start_from_are_refused(sources, changes, message):
    config = modulated_config(sources, degradation_from=str(sources / "degradation"))
    if "deblur.network" in changes:
        config.deblur.update({"degradation_from": "", "width": 0})
    config.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=message):
        run.check_config(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deblur.train_encoder": True}, "has no degradation encoder: leave out deblur.train_enc"),
        ({"deblur.feature_weight": 1.0}, "needs an encoder, which 'nafnet' does not have"),
        ({"stages": ("reblur", "deblur")}, "takes no representation from stage 1"),
        ({"deblur.blocks": (1, 1)}, r"deblur\.blocks=\(1, 1\) must have a number for each level"),
        ({"deblur.weight_decay": -1.0}, r"deblur\.weight_decay=-1 must be at least 0"),
    ],
)
def test_fields_that_do_not_fit_are_refused(changes, message):
    config = stage_config("nafnet")
    run.check_config(config)
    config.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=message):
        run.check_config(config)


@pytest.mark.parametrize("kind", ["msdi_net", "hinet", "nafnet", "modulated_nafnet"])
def test_a_calibrated_network_starts_as_its_input(sources, kind, tmp_path):
    small = {"nafnet": {"blocks": (1, 1, 1)}, "modulated_nafnet": {"blocks": (1, 1, 1)}}
    config = stage_config(
        kind, **small.get(kind, {}), degradation_from=str(sources / "degradation")
    )
    config.width, config.initial = 2, "calibrated"
    if kind in ("hinet", "nafnet"):
        config.deblur.degradation_from = ""
    run.check_config(config)
    stage = run.make_stage("deblur", config, tmp_path)
    images = np.random.default_rng(0).random((1, 64, 64, 3)).astype(np.float32)

    @jax.jit
    def first(key):
        state = stage.init(key)

        def error(params):
            network = stage._merge(state.frozen, params, state.stats, training=True)
            return jnp.square(network(images).deblurred - 0.5).sum()

        gradients = jax.tree.leaves(jax.grad(error)(state.params))
        return stage.network(state)(images).deblurred, sum(abs(g).sum() for g in gradients)

    deblurred, gradient = first(jax.random.key(0))
    np.testing.assert_allclose(deblurred, images, atol=1e-6)
    assert gradient > 0.1


def test_an_unrelated_representation_is_that_of_the_next_image():
    config = stage_config("modulated_nafnet", blocks=(1, 1, 1), injected=(0,), batch_size=2)
    config.width, config.deblur.unrelated_degradation = 2, True
    stage = stage2_deblur.DeblurStage(config)
    network = draw_arrays(abstract(stage.architecture.build))
    rng = np.random.default_rng(0)
    blurry, sharp = rng.random((2, 2, 32, 32, 3)).astype(np.float32)
    _, _, output = jax.jit(stage._deblur)(network, blurry, sharp)
    own = nnx.jit(lambda n, x: n(x).deblurred)(network, blurry)
    other = nnx.jit(lambda n, x, y: n(x, n.degradation(y)).deblurred)(network, blurry, blurry[::-1])
    np.testing.assert_allclose(output.deblurred, other, atol=1e-6)
    assert np.abs(own - other).max() > 1e-4


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"accumulate": 2}, {"context": 32}])
def test_an_unrelated_representation_needs_another_image(sources, changes):
    config = modulated_config(sources, degradation_from=str(sources / "degradation"))
    config.deblur.update({"unrelated_degradation": True, "batch_size": 2})
    run.check_config(config)
    config.deblur.update(changes)
    config.native = bool(changes.get("context"))
    with pytest.raises(ValueError, match="unrelated_degradation needs other images in the batch"):
        run.check_config(config)
