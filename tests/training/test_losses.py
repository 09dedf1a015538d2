import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from msdi_jax.training import losses


def test_l1():
    assert losses.l1(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])) == 1.5
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(1, 3\)"):
        losses.l1(jnp.ones((2, 3)), jnp.ones((1, 3)))


def test_psnr_loss_is_minus_the_mean_psnr_of_the_images():
    rng = np.random.default_rng(0)
    sharp = rng.uniform(size=(3, 20, 24, 3)).astype(np.float32)
    noise = rng.normal(size=sharp.shape) * np.array([0.01, 0.05, 0.3]).reshape(3, 1, 1, 1)
    restored = (sharp + noise).astype(np.float32)
    pairs = zip(sharp, restored, strict=True)
    expected = -np.mean([peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs])
    assert float(losses.psnr_loss(restored, sharp)) == pytest.approx(expected, rel=1e-5)


def test_psnr_loss_of_equal_images_is_bounded():
    """10 · log10(1e-8): the constant of the published loss keeps it from minus infinity."""
    x = jnp.full((2, 4, 4, 3), 0.5)
    assert float(losses.psnr_loss(x, x)) == pytest.approx(-80, rel=1e-6)


def test_psnr_loss_by_hand():
    """Errors of 0.1 and 0.01 everywhere: 20 and 40 dB."""
    sharp = jnp.full((2, 4, 4, 3), 0.5)
    restored = sharp + jnp.array([0.1, 0.01]).reshape(2, 1, 1, 1)
    assert float(losses.psnr_loss(restored, sharp)) == pytest.approx(-30, abs=1e-3)


def test_feature_l1_sums_over_features_of_any_size():
    a = [jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 2, 2, 8))]
    b = [jnp.full((1, 4, 4, 2), 0.5), jnp.full((1, 2, 2, 8), -2.0)]
    assert losses.feature_l1(a, b) == 2.5
    with pytest.raises(ValueError, match="shorter"):
        losses.feature_l1(a, b[:1])
    with pytest.raises(ValueError, match="shapes differ"):
        losses.feature_l1(a, b[::-1])


def test_perceptual_weights():
    features = [jnp.zeros((1, 2, 2, 3))] * 5
    for i, weight in enumerate([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1]):
        other = [x + 1.0 if i == j else x for j, x in enumerate(features)]
        assert losses.perceptual(other, features) == weight
    with pytest.raises(ValueError, match="zip"):
        losses.perceptual(features[:4], features[:4])


def discriminator_output(*values):
    """Scales of three maps each, all constant."""
    return [[jnp.full((2, 4 >> i, 4, 1), v) for v in scale] for i, scale in enumerate(values)]


def test_feature_matching_leaves_out_the_verdicts_and_averages_scales():
    fake = discriminator_output((1.0, 2.0, 50.0), (0.0, 0.0, 60.0))
    real = discriminator_output((1.5, 0.0, -50.0), (4.0, 0.0, 0.0))
    assert losses.feature_matching(fake, real) == (0.5 + 2.0 + 4.0) / 2


def test_feature_matching_pulls_on_the_fake_side_only():
    fake, real = discriminator_output((1.0, 2.0, 3.0)), discriminator_output((0.0, 0.0, 0.0))
    fake_gradient, real_gradient = jax.grad(losses.feature_matching, argnums=(0, 1))(fake, real)
    # A mean of 32 absolute values.
    np.testing.assert_allclose(fake_gradient[0][0], 1 / 32)
    np.testing.assert_array_equal(fake_gradient[0][2], 0)
    for gradient in real_gradient[0]:
        np.testing.assert_array_equal(gradient, 0)


def test_hinge():
    verdicts = discriminator_output((9.0, 9.0, 0.25), (9.0, 9.0, -3.0))
    assert losses.hinge_generator(verdicts) == (-0.25 + 3) / 2
    assert losses.hinge_discriminator(verdicts, real=True) == (0.75 + 4) / 2
    assert losses.hinge_discriminator(verdicts, real=False) == (1.25 + 0) / 2


def test_hinge_stops_at_the_margin_of_each_value():
    mixed = [[jnp.array([2.0, -2.0])]]
    assert losses.hinge_discriminator(mixed, real=True) == (0 + 3) / 2
    assert losses.hinge_discriminator(mixed, real=False) == (3 + 0) / 2


def test_bfloat16_is_summed_in_float32():
    """In bfloat16, 1 + 1/512 is 1: a mean of such values would be off by their number."""
    a, b = jnp.ones((1, 64, 64, 3), jnp.bfloat16), jnp.zeros((1, 64, 64, 3), jnp.bfloat16)
    for loss in (losses.l1, losses.psnr_loss):
        assert loss(a, b).dtype == jnp.float32
    assert losses.l1(a, b) == 1


def test_psnr_loss_refuses_to_broadcast():
    with pytest.raises(ValueError, match="shapes differ"):
        losses.psnr_loss(jnp.ones((2, 4, 4, 3)), jnp.zeros((1, 4, 4, 3)))


def test_motion_is_one_minus_the_correlation_of_channel_differences():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(6, 2)).astype(np.float32)
    expanded = np.broadcast_to(true[:, None, None], (6, 3, 4, 2))
    rest = rng.normal(size=(6, 3, 4, 5)).astype(np.float32)
    base = rng.normal(size=(6, 3, 4, 2)).astype(np.float32)
    # Neither scale nor offset matters, nor what pairs of channels have in common.
    right = np.concatenate([3 * expanded + 1 + base, base, rest], axis=-1)
    assert losses.motion(jnp.asarray(right), jnp.asarray(true)) == pytest.approx(0, abs=1e-5)
    wrong = np.concatenate([base - expanded, base, rest], axis=-1)
    assert losses.motion(jnp.asarray(wrong), jnp.asarray(true)) == pytest.approx(2, abs=1e-5)
    mixed = np.concatenate([base, base[::-1], rest], axis=-1)
    found = np.mean(
        [
            1 - np.corrcoef((base - base[::-1])[..., k].ravel(), expanded[..., k].ravel())[0, 1]
            for k in range(2)
        ]
    )
    assert losses.motion(jnp.asarray(mixed), jnp.asarray(true)) == pytest.approx(found, abs=1e-5)


def test_motion_of_equally_sharp_images_pulls_on_nothing():
    found = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2, 2, 6)), jnp.float32)
    gradient = jax.grad(losses.motion)(found, jnp.zeros((4, 3)))
    np.testing.assert_array_equal(gradient, 0)
    with pytest.raises(ValueError, match="4 representations and 1 motions"):
        losses.motion(found, jnp.zeros((1, 3)))
