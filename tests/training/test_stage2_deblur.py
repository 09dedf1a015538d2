"""Stage 2 against three published-layout training steps in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax import models
from msdi_jax.configs import base
from msdi_jax.models import Architecture
from msdi_jax.networks.functional import arrays_of
from msdi_jax.networks.msdi_net import MSDIOutput
from msdi_jax.training import optimizer, run, sources, stage2_deblur
from msdi_jax.training.state import State
from tests.small_networks import SMALL, small_network


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


JOINT = Architecture("reblur_deblur_net", 2, depth=2)


def save(path, architecture):
    models.save(path, small_network(architecture), models.Description(architecture, {}, ""))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A joint network and a deblurring one, saved."""
    folder = tmp_path_factory.mktemp("models")
    save(folder / "joint", JOINT)
    save(folder / "msdi", SMALL)
    return folder


def reblurring_config(folder, share, **deblur):
    """Of a NAFNet, which needs no degradation: any network is trained on such crops."""
    config = base.get_config()
    config.stages, config.width, config.augmentation.reblurred = ("deblur",), 2, share
    config.deblur.update({"network": "nafnet", "blocks": (1, 1, 1), "batch_size": 4, "crop": 32})
    config.deblur.update({"feature_weight": 0.0, "reblurred_by": str(folder / "joint"), **deblur})
    return config


@pytest.fixture(scope="module")
def crops(folder):
    """Four pairs of crops, and the first of each with the blur of the one before it."""
    rng = np.random.default_rng(0)
    blurry, sharp = rng.random((2, 4, 32, 32, 3)).astype(np.float32)
    joint = models.load(folder / "joint").network
    seen = np.roll(blurry, 1, axis=0)
    reblurred = nnx.jit(lambda n, x, y: n.reblur(x, n.degradation(y).maps))(joint, sharp, seen)
    return blurry, sharp, np.clip(reblurred, 0, 1)


def test_a_share_of_crops_gets_the_blur_of_others(folder, crops, tmp_path):
    blurry, sharp, reblurred = crops
    config = reblurring_config(folder, 0.5)
    run.check_config(config)
    stage = run.make_stage("deblur", config, tmp_path)
    reblur = jax.jit(lambda step: stage._reblurred(stage.frozen, blurry, sharp, step))
    patterns = []
    for step in range(8):
        found = np.array(reblur(step))
        changed = (found != blurry).any((1, 2, 3))
        expected = np.where(changed[:, None, None, None], reblurred, blurry)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        patterns.append(tuple(changed))
    assert 8 < np.sum(patterns) < 24
    assert len(set(patterns)) > 3


def test_a_step_trains_on_reblurred_crops(folder, crops, tmp_path):
    """With share 1 it is the step without them on the crops reblurred before."""
    blurry, sharp, reblurred = crops
    after = []
    for share, seen in ((1.0, blurry), (0.0, reblurred)):
        config = reblurring_config(folder, share)
        if not share:
            config.deblur.reblurred_by = ""
        stage = run.make_stage("deblur", config, tmp_path)
        state = stage.init(jax.random.key(0))
        state, scalars = jax.jit(stage.train_step)(state, {"blurry": seen, "sharp": sharp})
        after.append(scalars)
    assert after[0]["psnr_loss"] == pytest.approx(float(after[1]["psnr_loss"]), abs=1e-5)
    assert after[0]["gradient_norm"] == pytest.approx(float(after[1]["gradient_norm"]), rel=1e-4)


def test_the_network_that_reblurs_is_given_or_of_this_run(folder, tmp_path):
    config = reblurring_config(folder, 0.5)
    assert sources.find_sources("deblur", config, tmp_path) == {"joint": folder / "joint"}
    config.deblur.reblurred_by, config.stages = "", ("reblur", "deblur")
    config.deblur.network = "msdi_net"
    save(tmp_path / "model-reblur", JOINT)
    found = sources.find_sources("deblur", config, tmp_path)
    assert found == dict.fromkeys(("degradation", "joint"), tmp_path / "model-reblur")


@pytest.mark.parametrize(
    ("share", "deblur", "message"),
    [
        (0.5, {"reblurred_by": ""}, "=0.5 needs a joint network: give deblur.reblurred_by, or tra"),
        (0.0, {}, "joint is not used: set augmentation.reblurred"),
        (1.5, {}, r"augmentation\.reblurred=1\.5 must be a share, 0 … 1"),
        (0.5, {"batch_size": 1}, "=0.5 needs other images in the batch: set deblur.batch_size"),
        (0.5, {"accumulate": 4}, "needs other images in the batch: .* twice deblur.accumulate"),
        (0.5, {"reblurred_by": "{}/msdi"}, "msdi is a msdi_net model, which does not reblur: give"),
        (0.5, {"reblurred_by": "{}/none"}, "none"),
    ],
)
def test_reblurring_that_cannot_be_is_refused(folder, share, deblur, message):
    if "{}" in (path := deblur.get("reblurred_by", "")):
        deblur = {"reblurred_by": path.format(folder)}
    config = reblurring_config(folder, share, **deblur)
    with pytest.raises(ValueError, match=message):
        run.check_config(config)
