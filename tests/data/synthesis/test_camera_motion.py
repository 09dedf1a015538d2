import numpy as np
import pytest

from msdi_jax.data.synthesis.camera_motion import draw_shake, middle_path, motion_field
from tests.data.synthesis.imposed import DISC, HEIGHT, WIDTH, imposed, translation


def test_motion_field_measures_an_imposed_translation():
    field = motion_field(imposed(translation(6, 8)), (3, 4))
    np.testing.assert_allclose(field.length, 10, rtol=1e-6)
    np.testing.assert_allclose(field.direction, np.arctan2(8, 6), rtol=1e-6)
    assert (field.layer == -1).all()
    np.testing.assert_allclose(field.x[0], [-36, -12, 12, 36])
    np.testing.assert_allclose(field.y[:, 0], [-64 / 3, 0, 64 / 3])


def test_motion_field_of_the_middle_of_a_frame():
    camera = np.zeros((9, 6))
    camera[:, 2] = np.linspace(-0.1, 0.1, 9)
    shake = imposed(camera)
    whole = motion_field(shake, (4, 4))
    middle = motion_field(shake, (2, 2), (shake.height // 2, shake.width // 2))
    for name in ("x", "y", "length", "direction"):
        np.testing.assert_allclose(getattr(middle, name), getattr(whole, name)[1:3, 1:3])


def test_motion_field_of_a_roll_grows_with_the_radius():
    camera = np.zeros((33, 6))
    camera[:, 2] = np.linspace(-0.05, 0.05, 33)
    field = motion_field(imposed(camera), (5, 5))
    np.testing.assert_allclose(field.length, 0.1 * np.hypot(field.x, field.y), rtol=1e-3, atol=1e-9)


def test_near_layers_move_by_their_inverse_depth():
    field = motion_field(imposed(translation(4), layers=(DISC,)), (5, 5))
    assert field.layer[2, 2] == 0
    assert field.layer[0, 0] == -1
    assert field.length[2, 2] == pytest.approx(10)
    assert field.length[0, 0] == pytest.approx(4)


@pytest.mark.parametrize("anchor", ["mean", "middle"])
def test_instants_are_dense_and_the_anchor_is_at_the_origin(anchor):
    counts = set()
    for seed in range(30):
        shake = draw_shake(seed, HEIGHT, WIDTH, strength=2, anchor=anchor)
        counts.add(len(shake.camera))
        if anchor == "middle":
            assert (shake.camera[len(shake.camera) // 2] == 0).all()
        else:
            for motion in (shake.camera, *(layer.motion for layer in shake.layers)):
                np.testing.assert_allclose(motion.mean(axis=0), 0, atol=1e-12)
            # Of a projected path up to second order.
            path = middle_path(shake)
            assert np.linalg.norm(path.mean(axis=0)) < 0.03 * np.linalg.norm(np.ptp(path, axis=0))
        assert all(len(layer.motion) == len(shake.camera) for layer in shake.layers)
        steps = motion_field(shake, (3, 3)).length / (len(shake.camera) - 1)
        assert steps.max() <= 1
    assert min(counts) >= 9
    assert max(counts) <= 97


def test_anchors_differ_by_the_view_alone():
    mean, middle = (draw_shake(3, 384, 384, anchor=anchor) for anchor in ("mean", "middle"))
    np.testing.assert_allclose(np.diff(mean.camera, axis=0), np.diff(middle.camera, axis=0))
    assert np.linalg.norm(middle_path(middle).mean(axis=0)) > 0.1


def test_the_blur_varies_over_the_frame():
    fields = [motion_field(draw_shake(seed, 384, 384), (3, 3)).length for seed in range(40)]
    assert 1.15 < np.median([field.max() / field.min() for field in fields]) < 3


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="'srgb' is unknown: choose one of linear, gamma"):
        draw_shake(0, HEIGHT, WIDTH, domain="srgb")
    with pytest.raises(ValueError, match="anchor 'start' is unknown: choose one of mean, middle"):
        draw_shake(0, HEIGHT, WIDTH, anchor="start")
    with pytest.raises(ValueError, match="4×96 px"):
        draw_shake(0, 4, WIDTH)
