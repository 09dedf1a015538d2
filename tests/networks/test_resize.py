"""Resizing, against PyTorch's `interpolate`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from msdi_jax.networks import resize
from tests.networks.pytorch import assert_close, nchw, nhwc, normal


@pytest.mark.parametrize(
    ("kind", "source", "name"),
    [
        ("bilinear", "96x160", "resize"),
        ("bilinear", "720x1280", "resize2"),
        ("nearest", "256x256", "resize3"),
    ],
)
def test_resizes_match_the_published_ones(golden, image, kind, source, name):
    arrays = golden("protocol")
    channels = 2 if name == "resize3" else 3
    x = image(name, (1, *map(int, source.split("x")), channels))
    function = {"bilinear": resize.resize_bilinear, "nearest": resize.resize_nearest}[kind]
    keys = [k for k in arrays.files if k.startswith(f"resize/{kind}_{source}_to_")]
    assert keys
    for key in keys:
        height, width = map(int, key.rsplit("_", 1)[1].split("x"))
        actual = jax.jit(function, static_argnums=(1, 2))(x, height, width)
        assert actual.shape == (1, height, width, channels)
        rows, columns = (
            a // b for a, b in zip((height, width), arrays[key].shape[1:3], strict=True)
        )
        assert_close(actual[:, ::rows, ::columns], arrays[key], 1e-6 if kind == "bilinear" else 0)


@pytest.mark.parametrize(
    "size",
    [(33, 40), (64, 96), (20, 31), (5, 7), (1, 1), (33, 17), (48, 33), (99, 80), (11, 10)],
    ids=str,
)
def test_resizes_against_pytorch(x64, size):
    x = normal(2, 33, 40, 3)
    bilinear = functional.interpolate(nchw(x), size, mode="bilinear", align_corners=False)
    nearest = functional.interpolate(nchw(x), size, mode="nearest")
    both = jax.jit(lambda x: [resize.resize_bilinear(x, *size), resize.resize_nearest(x, *size)])
    actual = both(x)
    assert_close(actual[0], nhwc(bilinear))
    np.testing.assert_array_equal(actual[1], nhwc(nearest))


@pytest.mark.parametrize(("target", "gathers"), [(16, False), (24, False), (4, False), (12, True)])
def test_nearest_by_whole_factors_needs_no_gather(target, gathers):
    x = normal(1, 8, 8, 2).astype(np.float32)
    text = str(jax.make_jaxpr(lambda x: resize.resize_nearest(x, target, target))(x))
    assert ("gather" in text) == gathers


@pytest.mark.parametrize("function", [resize.resize_bilinear, resize.resize_nearest])
def test_resizes_keep_bfloat16(function):
    x = jnp.asarray(normal(1, 8, 10, 4), jnp.bfloat16)
    actual = function(x, 12, 7)
    assert actual.dtype == jnp.bfloat16
    assert_close(actual.astype(np.float32), function(x.astype(jnp.float32), 12, 7), 0.01)


@pytest.mark.parametrize("size", [256, 128, 64, 32])
def test_nearest_resize_takes_pytorchs_indices(size):
    """For every size of a feature in images of up to 4096 pixels in steps of 16."""
    column = torch.arange(size, dtype=torch.float32).reshape(1, 1, size, 1)
    for target in range(size // 16, 16 * size + 1, size // 16):
        expected = functional.interpolate(column, (target, 1)).numpy().ravel()
        actual = resize._nearest(size, target)
        np.testing.assert_array_equal(actual, expected, err_msg=f"{size} → {target}")
