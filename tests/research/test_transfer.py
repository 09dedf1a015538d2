"""Representations mixed, moved and shown: of a small joint network of random weights."""

import json

import numpy as np
import pytest
from PIL import Image

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.networks.functional import abstract
from msdi_jax.research import transfer
from tests.small_networks import SMALL, draw_arrays, small_network

RNG = np.random.default_rng(0)
SHARP, BLURRY, OTHER = (
    RNG.random((h, w, 3), np.float32) for h, w in ((40, 33), (64, 48), (32, 80))
)


def drawn(**options):
    """A joint model of width 2."""
    architecture = models.Architecture("reblur_deblur_net", 2, depth=4, **options)
    description = models.Description(architecture, {}, "")
    network = draw_arrays(abstract(description.architecture.build))
    return models.Model(network, description)


@pytest.fixture(scope="module")
def joint():
    return drawn()


@pytest.fixture(scope="module")
def run(tmp_path_factory, joint):
    """A run directory of both stages, with the photographs of this file."""
    folder = tmp_path_factory.mktemp("run")
    models.save(folder / "model-reblur", joint.network, joint.description)
    models.save(
        folder / "model",
        small_network(),
        models.Description(SMALL, {}, ""),
    )
    for name, image in (("sharp", SHARP), ("blurry", BLURRY), ("other", OTHER)):
        Image.fromarray((255 * image).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def transfer_input(path):
    return np.asarray(Image.open(path)).astype(np.float32) / 255


def test_level_1_is_what_the_network_itself_reblurs(joint):
    sharp, blurry = SHARP[:32, :32], BLURRY[:32, :32]
    levels = transfer.interpolate(joint, sharp, blurry, [0, 0.5, 1])
    expected = np.asarray(joint(blurry[None], sharp[None]).reblurred)[0]
    np.testing.assert_allclose(levels[2], expected.clip(0, 1), atol=1e-5)
    own = np.asarray(joint(sharp[None], sharp[None]).reblurred)[0]
    np.testing.assert_allclose(levels[0], own.clip(0, 1), atol=1e-5)
    assert np.abs(levels[1] - levels[0]).max() > 1e-4


def test_levels_between_two_blurry_images(joint):
    levels = transfer.interpolate(joint, SHARP, BLURRY, [0, 1], start=OTHER)
    swapped = transfer.interpolate(joint, SHARP, OTHER, [0, 1], start=BLURRY)
    assert levels.shape == (2, 40, 33, 3)
    np.testing.assert_allclose(levels, swapped[::-1], atol=1e-5)


def test_a_native_representation_is_stretched_to_the_image():
    native = drawn(native=True)
    sharp, blurry = SHARP[:32, :32], BLURRY[:32, :32]
    levels = transfer.interpolate(native, sharp, blurry, [0, 1])
    expected = np.asarray(native(blurry[None], sharp[None]).reblurred)[0]
    np.testing.assert_allclose(levels[1], expected.clip(0, 1), atol=1e-5)
    assert transfer.representation(native, OTHER).shape[1:3] == (1, 3)
    [[moved]] = transfer.transfer(native, [OTHER], [BLURRY])
    assert moved.shape == BLURRY.shape
    found = native.degradation_for(transfer.representation(native, OTHER), (64, 48))
    assert [m.shape[1:3] for m in found.maps] == [(64, 48), (32, 24), (16, 12), (8, 6)]


def test_transfer_is_a_grid(joint):
    grid = transfer.transfer(joint, [BLURRY, OTHER], [SHARP, BLURRY, OTHER])
    assert [[cell.shape for cell in row] for row in grid] == [
        [(40, 33, 3), (64, 48, 3), (32, 80, 3)]
    ] * 2
    found = transfer.representation(joint, OTHER)
    np.testing.assert_array_equal(grid[1][0], transfer.reblur(joint, SHARP, found))
    assert np.abs(grid[0][0] - grid[1][0]).max() > 1e-4


def test_main_components_follow_the_largest_variance():
    y, x = np.mgrid[:20, :30].astype(np.float32)
    features = np.stack([9 * x, x * 0, 3 * np.sin(y), 0.1 * np.cos(x * y)], axis=-1)
    found = transfer.main_components(features)
    assert found.shape == (20, 30, 3)
    assert found.min() == 0
    assert found.max() == 1
    for component, cause in ((0, x), (1, np.sin(y))):
        likeness = np.corrcoef(found[..., component].ravel(), cause.ravel())[0, 1]
        assert abs(likeness) > 0.98


def test_views_have_the_image_s_size(joint):
    views = transfer.views_of(joint, BLURRY)
    assert list(views) == ["representation", *(f"map {level}" for level in range(4))]
    assert all(view.shape == BLURRY.shape for view in views.values())


def test_a_picture_too_small_for_the_coarsest_map_is_refused(joint):
    with pytest.raises(ValueError, match=r"picture of 7×40 px .* at least 8×8 px"):
        transfer.views_of(joint, BLURRY[:7, :40])


def test_gradient_energy_falls_with_blur():
    blurred = (SHARP + np.roll(SHARP, 1, axis=0) + np.roll(SHARP, 1, axis=1)) / 3
    assert transfer.gradient_energy(blurred) < 0.7 * transfer.gradient_energy(SHARP)


def test_interpolate_writes_strip_animation_and_curve(run, tmp_path):
    out = tmp_path / "out"
    pair = [f"--sharp={run / 'sharp.png'}", f"--blurry={run / 'blurry.png'}"]
    main(["reblur", "interpolate", f"--model={run}", *pair, "--levels=3", f"--output={out}"])
    assert sorted(p.name for p in out.iterdir()) == [
        "curve.json",
        "curve.png",
        "levels.gif",
        "strip.png",
    ]
    assert Image.open(out / "strip.png").size == (3 * 33 + 2 * 8, 40)
    assert Image.open(out / "levels.gif").n_frames == 4
    curve = json.loads((out / "curve.json").read_text())
    assert curve["alpha"] == [0, 0.75, 1.5]
    assert len(curve["gradient_energy"]) == len(curve["psnr"]) == 3


def test_levels_that_get_sharper_are_warned_about(run, joint, tmp_path, capsys):
    """Of the two directions between two blurs, one gets sharper."""
    order = ["blurry", "other"]
    images = [transfer_input(run / f"{name}.png") for name in ("sharp", *order)]
    zero, one = transfer.interpolate(joint, *images[:2], [0, 1], start=images[2])
    before, after = transfer.gradient_energy(zero), transfer.gradient_energy(one)
    if before > after:
        before, after = after, before
        order.reverse()
    for blurry, start in (order, order[::-1]):
        paths = {"sharp": run / "sharp.png", "blurry": run / f"{blurry}.png"}
        paths |= {"start": run / f"{start}.png", "model": run, "output": tmp_path / "out"}
        options = [f"--{name}={path}" for name, path in paths.items()]
        main(["reblur", "interpolate", *options, "--levels=2", "--beyond=0.5"])
        warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
        if blurry == order[0]:
            (line,) = warnings
            assert f"energy is {before:.3g} at α=0 and {after:.3g} at α=1" in line
        else:
            assert not warnings


def test_interpolate_does_not_overwrite_what_it_reads(run, tmp_path):
    strip = tmp_path / "strip.png"
    strip.write_bytes((run / "sharp.png").read_bytes())
    pair = [f"--sharp={strip}", f"--blurry={run / 'blurry.png'}"]
    with pytest.raises(SystemExit, match=r"strip\.png would overwrite an input"):
        main(["reblur", "interpolate", f"--model={run}", *pair, f"--output={tmp_path}"])
    assert strip.read_bytes() == (run / "sharp.png").read_bytes()
    assert list(tmp_path.iterdir()) == [strip]


def test_transfer_writes_a_sheet(run, tmp_path):
    out = tmp_path / "grid.png"
    paths = [str(run / f"{name}.png") for name in ("blurry", "other", "sharp")]
    options = [f"--model={run / 'model-reblur'}", f"--output={out}"]
    main(["reblur", "transfer", *options, "--blurry", *paths[:2], "--sharp", paths[2]])
    # One column of blurry ones, one sharp one; squares of the least height.
    assert Image.open(out).size == (2 * 32 + 8, 3 * 32 + 2 * 8)


def test_maps_write_a_sheet(run, tmp_path):
    out = tmp_path / "maps.png"
    main(["reblur", "maps", f"--model={run}", f"--input={run / 'blurry.png'}", f"--output={out}"])
    assert Image.open(out).size == (3 * 48 + 2 * 8, 2 * 64 + 8)


def test_no_photograph_is_overwritten(run, tmp_path):
    photograph = tmp_path / "mine.png"
    photograph.write_bytes((run / "sharp.png").read_bytes())
    before = photograph.read_bytes()
    both = [f"--blurry={run / 'blurry.png'}", f"--sharp={photograph}"]
    for what in (["maps", f"--input={photograph}"], ["transfer", *both]):
        with pytest.raises(SystemExit, match=r"mine\.png would overwrite an input"):
            main(["reblur", *what, f"--model={run}", f"--output={photograph}"])
    assert photograph.read_bytes() == before


def test_no_size_at_all_is_refused(run, tmp_path):
    out = tmp_path / "maps.png"
    arguments = [f"--model={run}", f"--input={run / 'blurry.png'}", f"--output={out}"]
    with pytest.raises(SystemExit, match="--longest-side 0 must be at least 1 px"):
        main(["reblur", "maps", *arguments, "--longest-side=0"])
    assert not out.exists()


def test_a_model_that_cannot_reblur_is_refused(run, tmp_path):
    out = tmp_path / "x.png"
    pair = [f"--sharp={run / 'sharp.png'}", f"--blurry={run / 'blurry.png'}"]
    with pytest.raises(SystemExit, match="has no reblurring branch: give a joint network"):
        main(["reblur", "transfer", f"--model={run / 'model'}", *pair, f"--output={out}"])
    assert not out.exists()
