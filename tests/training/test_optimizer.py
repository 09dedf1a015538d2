import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
import torch

from msdi_jax.training import optimizer


def settings(**fields):
    base = {
        "final_learning_rate": 1e-7,
        "adam_b1": 0.9,
        "adam_b2": 0.99,
        "adam_eps": 1e-8,
        "weight_decay": 0.0,
    }
    return ml_collections.ConfigDict(base | fields)


@pytest.mark.parametrize(
    ("stage", "rate", "steps"), [("deblur", 3e-4, 400_000), ("reblur", 2e-4, 250_000)]
)
def test_published_learning_rates(golden, stage, rate, steps):
    z = golden("protocol")
    config = settings(learning_rate=rate, schedule_steps=steps)
    # The golden counts iterations from 1.
    found = [optimizer.cosine_rate(i - 1, config) for i in z[f"lr/{stage}/iteration"].tolist()]
    # Near the end float32 resolves the cosine to some 1e-7 of the initial rate.
    np.testing.assert_allclose(found, z[f"lr/{stage}/value"], rtol=1e-6, atol=1e-7 * rate)


def test_learning_rate_stays_at_its_end():
    config = settings(learning_rate=1e-3, schedule_steps=10)
    assert float(optimizer.cosine_rate(25, config)) == pytest.approx(1e-7)


def test_against_pytorch(x64):
    """Five clipped Adam steps on gradients of very different sizes."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4))
    config = settings(learning_rate=1e-2, schedule_steps=10)
    transform = optimizer.adam(config)
    params = {"w": jnp.asarray(start)}
    opt = transform.init(params)
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    adam = torch.optim.Adam([parameter], lr=1e-2, betas=(0.9, 0.99), eps=1e-8)
    for size in (1e-4, 10.0, 1e-3, 0.5, 1e-8):
        gradient = size * rng.normal(size=(3, 4))
        parameter.grad = torch.from_numpy(gradient.copy())
        norm = torch.nn.utils.clip_grad_norm_([parameter], 0.01)
        adam.step()
        new = optimizer.update(
            transform, {"w": jnp.asarray(gradient)}, params, opt, rate=1e-2, clip_norm=0.01
        )
        params, opt = new.params, new.opt
        np.testing.assert_allclose(new.gradient_norm, norm.numpy(), rtol=1e-12)
        np.testing.assert_allclose(params["w"], parameter.detach().numpy(), rtol=1e-12)
    assert jax.tree.leaves(opt)[0] == 5
