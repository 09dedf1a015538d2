"""The native encoder, and the calibrated start that goes with it."""

import dataclasses

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from msdi_jax import models
from msdi_jax.configs import base
from msdi_jax.networks.degradation import (
    Degradation,
    DegradationEncoder,
    DegradationEstimator,
    local_contrast,
)
from msdi_jax.networks.functional import abstract, arrays_of
from msdi_jax.networks.layers import SpectralConv
from msdi_jax.restoration import bounded_memory
from msdi_jax.training import losses, stage1_reblur
from msdi_jax.training.stage2_deblur import DeblurStage
from tests.small_networks import draw_arrays


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return {
        key: jnp.asarray(rng.uniform(size=(2, 32, 32, 3)), jnp.float32)
        for key in ("blurry", "sharp")
    }


def drawn(**options):
    return draw_arrays(abstract(lambda rngs: DegradationEstimator(2, **options, rngs=rngs)))


@pytest.mark.parametrize("native", [False, True])
def test_only_a_native_encoder_sees_what_all_regions_share(native):
    """Its contrast, say, which a blur without direction lowers."""
    encoder = drawn(native=native).encoder
    encoder.train()
    image = np.random.default_rng(1).uniform(size=(1, 256, 256, 3))
    strong, weak = encoder(jnp.asarray(np.concatenate([image, image / 4]), jnp.float32))
    change = np.abs(strong - weak).mean() / np.abs(strong).mean()
    assert change > 0.3 if native else change < 0.1


def test_local_contrast_is_what_opencv_finds():
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(48, 80, 3)).astype(np.float32) * np.linspace(0, 1, 80)[:, None]
    found = np.asarray(local_contrast(jnp.asarray(image[None], jnp.float32)))[0]
    count, mean, power = (
        cv2.boxFilter(
            x.astype(np.float64), -1, (33, 33), None, (-1, -1), False, cv2.BORDER_CONSTANT
        )
        for x in (np.ones_like(image), image, np.square(image, dtype=np.float64))
    )
    mean, power = mean / count, power / count
    variance = (power - mean**2).mean(-1, keepdims=True)
    np.testing.assert_allclose(found, (image - mean) / np.sqrt(variance + 1e-4), atol=1e-4)


def test_an_encoder_of_local_contrast_does_not_see_how_much_there_was():
    encoder = drawn(native=True, contrast=True).encoder
    image = np.random.default_rng(1).uniform(size=(1, 64, 64, 3))
    strong, weak = encoder(jnp.asarray(np.concatenate([image, image / 2 + 0.25]), jnp.float32))
    assert np.abs(strong - weak).max() < 0.02 * np.abs(strong).max()


def test_a_native_encoder_has_a_cell_per_32_pixels_and_maps_of_the_images_size():
    estimator = drawn(native=True)
    found = estimator(jnp.zeros((1, 80, 144, 3)))
    assert found.representation.shape == (1, 3, 5, 64)
    assert [m.shape[1:3] for m in found.maps] == [(80, 144), (40, 72), (20, 36), (10, 18)]


def test_a_native_encoder_of_part_of_an_image_sees_what_one_of_all_of_it_sees():
    encoder = drawn(native=True).encoder
    image = jnp.asarray(np.random.default_rng(1).uniform(size=(1, 64, 1024, 3)), jnp.float32)
    part, whole = encoder(image[:, :, :512]), encoder(image)
    # Cells whose field of view the cut does not reach.
    np.testing.assert_allclose(part[:, :, :6], whole[:, :, :6], atol=1e-5)


def test_native_encoders_learn_their_norms():
    encoder = drawn(native=True).encoder
    encoder.train()
    before = np.asarray(encoder.shallow.norms[0].mean[...])
    encoder(jnp.ones((1, 64, 64, 3)))
    assert np.abs(encoder.shallow.norms[0].mean[...] - before).max() > 0


def small_config():
    config = base.get_config()
    config.update({"width": 2, "native": True, "initial": "calibrated"})
    config.reblur.update({"adversarial": False, "reblur_l1_weight": 10.0, "learning_rate": 1e-3})
    return config


@pytest.fixture(scope="module")
def stage_1():
    stage = stage1_reblur.ReblurStage(small_config())
    return stage, stage.init(jax.random.key(0))


def test_stage_1_starts_from_the_identity_and_hears_its_representation(stage_1, images):
    stage, state = stage_1
    network = stage.network(state)
    output = network(images["blurry"], images["sharp"])
    np.testing.assert_array_equal(output.deblurred, images["blurry"])
    np.testing.assert_array_equal(output.reblurred, images["sharp"])
    # A kernel of orthogonal columns has a σ of 1.
    for _, layer in nnx.iter_graph(network.degradation.pyramid):
        if isinstance(layer, SpectralConv):
            matrix = layer.kernel[...].reshape(-1, layer.kernel.shape[-1])
            np.testing.assert_allclose(np.linalg.svd(matrix)[1], 1, atol=1e-4)
    noise = jax.nn.leaky_relu(jax.random.normal(jax.random.key(7), (4, 8, 8, 64)), 0.2)
    for part in (network.deblur, network.reblur):
        for modulation, found in zip(
            part.modulation, network.degradation.pyramid(noise), strict=True
        ):
            heard = modulation.shared[0](found)
            assert 0.2 < heard.std() < 2
            assert np.abs(heard.mean()) < 0.5


def test_stage_2_starts_from_the_identity_with_the_frozen_maps_heard(stage_1, images):
    degradation = arrays_of(stage_1[0].network(stage_1[1]).degradation)
    stage = DeblurStage(small_config(), degradation, degradation["encoder"]["shallow"])
    network = stage.network(stage.init(jax.random.key(0)))
    output = network(images["blurry"])
    np.testing.assert_array_equal(output.deblurred, images["blurry"])
    np.testing.assert_array_equal(output.intermediate, images["blurry"])
    calm, agitated = (
        network.degradation.pyramid(jax.nn.leaky_relu(x, 0.2))
        for x in jax.random.normal(jax.random.key(7), (2, 4, 8, 8, 64))
    )
    features = jnp.zeros((4, 8, 8, 2))
    heard = [
        network.modulation[0].shared[0](jnp.concatenate([features, m[0][:, :8, :8]], axis=-1))
        for m in (calm, agitated)
    ]
    assert 0.05 < np.abs(heard[0] - heard[1]).mean() < 2


def test_stage_2_of_another_form_starts_from_the_identity(stage_1, images):
    degradation = arrays_of(stage_1[0].network(stage_1[1]).degradation)
    config = small_config()
    config.deblur.update({"width": 3, "depth": 3, "patch": 2})
    stage = DeblurStage(config, degradation, degradation["encoder"]["shallow"])
    network = stage.network(stage.init(jax.random.key(0)))
    output = nnx.jit(lambda network, image: network(image))(network, images["blurry"])
    np.testing.assert_array_equal(output.deblurred, images["blurry"])
    np.testing.assert_array_equal(output.intermediate, images["blurry"])
    assert len(network.modulation) == 2
    assert network.modulation[1].shared[0].kernel.shape[-2] == 2 * 3 + 2 * 2


def test_the_encoder_sees_the_context_of_stage_2s_crops(stage_1):
    # A pyramid that passes on what it is given.
    degradation = arrays_of(stage_1[0].network(stage_1[1]).degradation)
    degradation["encoder"] = arrays_of(drawn(native=True).encoder)
    config = small_config()
    config.deblur.update({"crop": 32, "context": 32, "batch_size": 2, "depth": 3})
    stage = DeblurStage(config, degradation, degradation["encoder"]["shallow"])
    state = stage.init(jax.random.key(0))
    # It starts from the identity.
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype("f4"), state.params)
    state = dataclasses.replace(state, params=params)
    batch = {
        key: rng.uniform(size=(2, 96, 96, 3)).astype(np.float32) for key in ("blurry", "sharp")
    }
    val = jax.jit(stage.val_step)
    _, pictures = val(state, batch)
    np.testing.assert_array_equal(pictures["sharp"], batch["sharp"][:, 32:64, 32:64])

    @jax.jit
    def expected_of(blurry):
        network = stage.network(state)
        whole = network.degradation.encoder(blurry)
        maps = network.degradation.maps(whole[:, 1:2, 1:2], (32, 32))
        return network(blurry[:, 32:64, 32:64], Degradation(whole, maps)).deblurred

    expected = expected_of(batch["blurry"])
    np.testing.assert_allclose(pictures["deblurred"], expected, atol=1e-5)
    crop = batch["blurry"][:, 32:64, 32:64].copy()
    batch["blurry"][:] = 0.5
    batch["blurry"][:, 32:64, 32:64] = crop
    _, others = val(state, batch)
    assert np.abs(others["deblurred"] - pictures["deblurred"]).max() > 1e-4
    scalars = jax.jit(stage.train_step)(state, batch)[1]
    assert np.isfinite(float(scalars["psnr_loss"]))


@pytest.mark.slow  # a training step to compile
def test_the_estimator_moves_at_its_own_rate(images):
    config = small_config()
    config.reblur.degradation_rate = 0.01
    stage = stage1_reblur.ReblurStage(config)
    state = stage.init(jax.random.key(0))
    # At the identity no gradient reaches the estimator.
    for name in ("deblur", "reblur"):
        state.params["generator"][name]["last"]["kernel"] += 0.1
    after, scalars = jax.jit(stage.train_step)(state, images)
    moved = {
        name: max(
            np.abs(a - b).max()
            for a, b in zip(
                jax.tree.leaves(after.params["generator"][name]),
                jax.tree.leaves(state.params["generator"][name]),
                strict=True,
            )
        )
        for name in ("degradation", "reblur")
    }
    # Adam's first step is the rate itself.
    assert moved["reblur"] == pytest.approx(1e-3, rel=0.05)
    assert moved["degradation"] == pytest.approx(1e-5, rel=0.05)
    assert scalars["learning_rate_generator"] == pytest.approx(1e-3)


def test_tiles_of_a_native_model_estimate_for_themselves():
    description = models.Description(models.Architecture("msdi_net", 2, native=True), {}, "")
    network = draw_arrays(abstract(description.architecture.build))
    deblurring = models.Model(network, description)
    image = np.random.default_rng(0).uniform(size=(48, 80, 3)).astype(np.float32)
    restored = bounded_memory.BoundedRestorer(deblurring)(image[None])
    np.testing.assert_allclose(restored, deblurring.deblur(image[None]), atol=1e-5)


def test_published_encoders_have_no_statistics():
    encoder = abstract(lambda rngs: DegradationEncoder(2, rngs=rngs))
    kinds = {path[-1] for path in nnx.to_flat_state(nnx.state(encoder)).paths}
    assert kinds == {"kernel", "bias", "u", "v"}


def shared_blur_config():
    config = base.get_config()
    config.width = 2
    config.reblur.update(
        {"shared_blur": True, "adversarial": False, "reblur_l1_weight": 1.0, "batch_size": 8}
    )
    return config


@pytest.fixture(scope="module")
def eight():
    rng = np.random.default_rng(0)
    images = {
        key: jnp.asarray(rng.uniform(size=(8, 32, 32, 3)), jnp.float32)
        for key in ("blurry", "sharp")
    }
    return images | {"motion": jnp.asarray(rng.normal(size=(8, 3)), jnp.float32)}


def test_pairs_are_reblurred_with_each_others_representation(eight):
    stage = stage1_reblur.ReblurStage(shared_blur_config())
    network = draw_arrays(abstract(stage._make_network))
    graph, arrays = nnx.split(network)
    made = jax.jit(lambda a, images: stage._generate(nnx.merge(graph, a), images))(arrays, eight)
    joint = jax.jit(lambda a, *images: nnx.merge(graph, a)(*images))
    blurry, sharp = eight["blurry"], eight["sharp"]
    partners = np.array([1, 0, 3, 2, 5, 4, 7, 6])
    own, other = joint(arrays, blurry, sharp), joint(arrays, blurry[partners], sharp)
    np.testing.assert_allclose(made.output.reblurred, other.reblurred, atol=1e-6)
    assert np.abs(own.reblurred - other.reblurred).max() > 1e-4
    # But each deblurred with its own.
    np.testing.assert_allclose(made.output.deblurred, own.deblurred, atol=1e-6)


def test_some_pairs_are_generated_and_all_contribute_their_motion(eight):
    config = shared_blur_config()
    config.reblur.update({"generated": 4, "motion_weight": 0.5})
    stage = stage1_reblur.ReblurStage(config)
    network = draw_arrays(abstract(stage._make_network))
    graph, arrays = nnx.split(network)
    generate = jax.jit(lambda a, images: stage._generate(nnx.merge(graph, a), images))
    made = generate(arrays, eight)
    np.testing.assert_array_equal(made.sharp, eight["sharp"][np.array([0, 1, 4, 5])])
    assert made.output.reblurred.shape == made.blurry.shape == (4, 32, 32, 3)
    # The last one is not generated, but its motion counts.
    moved = generate(arrays, eight | {"motion": eight["motion"].at[7].add(1.0)})
    assert abs(made.terms["motion"] - moved.terms["motion"]) > 1e-4
    whole = float(losses.motion(network.degradation.encoder(eight["blurry"]), eight["motion"]))
    assert float(made.terms["motion"]) == pytest.approx(0.5 * whole, rel=1e-4)


@pytest.mark.slow  # half a minute of compiling
def test_motion_teaches_the_encoder(eight):
    config = shared_blur_config()
    config.native = True
    config.reblur.update({"motion_weight": 1.0, "learning_rate": 1e-3, "l1_weight": 0.0})
    config.reblur.update({"reblur_l1_weight": 0.0, "generated": 2})
    stage = stage1_reblur.ReblurStage(config)
    state, found = stage.init(jax.random.key(0)), []
    step = jax.jit(stage.train_step)
    for _ in range(30):
        state, scalars = step(state, eight)
        found.append(float(scalars["motion"]))
    assert found[-1] < 0.7 * found[0]
