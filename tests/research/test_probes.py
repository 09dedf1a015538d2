"""Probes on features whose content is known, and the command on a few synthetic records."""

import json

import jax
import numpy as np
import pytest

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.evaluation import test_sets
from msdi_jax.networks.degradation import DegradationEstimator
from msdi_jax.networks.functional import abstract
from msdi_jax.research import probes
from tests.small_networks import draw_arrays

RNG = np.random.default_rng(0)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(probes, "STEPS", 20)


def linear_data(count, noise=0.0):
    features = RNG.normal(size=(count, 4, 4, 6)).astype(np.float32)
    weights = np.linspace(-1, 1, 12).reshape(6, 2)
    return features, features @ weights + 3 + noise * RNG.normal(size=(count, 4, 4, 2))


def scored(solve, data, baseline):
    features, target = data
    return probes.score(solve(features), target, baseline.mean((0, 1, 2)))


def test_a_linear_relation_is_found():
    train, test = linear_data(60, 0.5), linear_data(40, 0.5)
    found = scored(probes.linear_probe(*train), test, train[1])
    # What noise leaves to explain.
    assert found.r2 == pytest.approx(1 - 0.25 / test[1].var(axis=(0, 1, 2)).mean(), abs=0.01)
    assert found.low < found.r2 < found.high


def test_of_features_that_say_nothing_the_ridge_makes_nothing():
    features = RNG.normal(size=(30, 2, 2, 100)).astype(np.float32)
    target = RNG.normal(size=(30, 2, 2, 1))
    other = RNG.normal(size=(30, 2, 2, 100)).astype(np.float32)
    found = scored(probes.linear_probe(features, target), (other, target[::-1]), target)
    assert -0.3 < found.r2 < 0.1


def test_neighbours_help_the_convolutional_probe_alone(monkeypatch):
    monkeypatch.setattr(probes, "STEPS", 200)

    def data(count):
        features = RNG.normal(size=(count, 6, 6, 3)).astype(np.float32)
        return features, np.roll(features[..., :1], 1, axis=2)

    train, test = data(200), data(40)
    linear = scored(probes.linear_probe(*train), test, train[1])
    wide = scored(probes.convolutional_probe(*train), test, train[1])
    assert linear.r2 < 0.1
    # All but the outermost column, whose neighbour lies across.
    assert wide.r2 > 0.7


def test_the_score_is_r2_against_the_training_mean():
    target = RNG.normal(size=(20, 2, 2, 3))
    assert probes.score(target, target, np.zeros(3)).r2 == 1
    assert probes.score(np.zeros_like(target), target, np.zeros(3)).r2 == 0
    assert probes.score(target + 1, target, np.zeros(3)).r2 < 0.2


def records(count):
    parameters = {"height": 64, "width": 80, "domain": "linear", "strength": 6.0, "reach": 20.0}
    return [
        {
            "blurry": RNG.integers(0, 256, (64, 80, 3), np.uint8),
            "sharp": RNG.integers(0, 256, (64, 80, 3), np.uint8),
            "seed": seed,
            "parameters": json.dumps({"shake": parameters}),
        }
        for seed in range(count)
    ]


def test_what_is_gathered():
    source = records(3)
    found = probes.gather(source, {"representation": lambda x: x[:, ::32, ::32]}, batch=2)
    assert {name: x.shape for name, x in found.features.items()} == {
        "representation": (3, 8, 8, 3),
        "pixels": (3, 8, 8, 8 * 8 * 3),
    }
    assert {name: x.shape for name, x in found.targets.items()} == {
        "path length": (3, 8, 8, 1),
        "path direction": (3, 8, 8, 2),
        "content": (3, 8, 8, 4 * 4 * 3),
    }
    # Cells lie where the picture has them.
    flat = {**source[0], "sharp": np.zeros((64, 80, 3), np.uint8)}
    flat["sharp"][:8, -10:] = 255
    content = probes.gather([flat], {"r": lambda x: x[:, ::32, ::32]}).targets["content"]
    assert content[0, 0, -1].min() == 1
    assert content.sum() == 4 * 4 * 3


def test_features_are_of_full_precision():
    """On GPUs and TPUs too, where it has to be asked for."""
    asked = []

    @jax.jit
    def encode(images):
        asked.append(jax.config.jax_default_matmul_precision)
        return images[:, ::32, ::32]

    probes.gather(records(1), {"representation": encode})
    assert asked == ["highest"]


def test_native_encoders_are_given_the_middle():
    source = records(1)[0]
    large = {
        key: np.pad(source[key], ((104, 104), (104, 104), (0, 0))) for key in ("blurry", "sharp")
    }
    large |= {"seed": 0, "parameters": json.dumps({"shake": {"height": 272, "width": 288}})}
    seen = []
    encoders = {"representation": lambda x: seen.append(x) or x[:, ::32, ::32]}
    found = probes.gather([large], encoders, native=True)
    np.testing.assert_allclose(seen[0][0], large["blurry"][8:-8, 16:-16] / 255, atol=1e-6)
    whole = probes.gather([large], encoders)
    length = [x.targets["path length"] for x in (found, whole)]
    assert 0 < np.abs(length[0] - length[1]).max() < 1
    with pytest.raises(ValueError, match="no middle 256×256"):
        probes.gather([source], encoders, native=True)


@pytest.mark.parametrize("native", [False, True])
def test_the_random_encoder_is_no_dead_one(native):
    description = models.Description(
        models.Architecture("degradation", 2, version=2, native=native), {}, ""
    )
    images = RNG.uniform(size=(2, 64, 64, 3)).astype(np.float32)
    encode = probes.random_encoder(models.Model(None, description))
    found = np.asarray(encode(images))
    assert found.std() > 0.3
    np.testing.assert_array_equal(encode(images), found)


def test_what_is_read_as_equal_everywhere_has_no_correlation(monkeypatch):
    monkeypatch.setattr(probes, "convolutional_probe", lambda *_: lambda x: np.full_like(x, 2))
    target = RNG.uniform(size=(3, 4, 4, 1))
    split = probes.Split({"representation": target}, {"path length": target})
    np.testing.assert_array_equal(probes.adaptivity(split, split), 0)


def test_directions_have_no_sign():
    class Field:
        length = np.ones((1, 2))
        direction = np.array([[0.3, 0.3 + np.pi]])

    found = probes.directed(Field)
    np.testing.assert_allclose(found[0, 0], found[0, 1], atol=1e-12)


def test_the_command(tmp_path, monkeypatch, capsys, quick):
    sets = {"train": records(6), "test": records(4)}
    monkeypatch.setattr(
        test_sets, "open_prepared", lambda name, data, split: (tmp_path / "kind" / "1", sets[split])
    )
    monkeypatch.setattr(probes, "RESAMPLES", 50)
    estimator = draw_arrays(abstract(lambda rngs: DegradationEstimator(2, rngs=rngs)))
    description = models.Description(models.Architecture("degradation", 2, version=2), {}, "")
    models.save(tmp_path / "model", estimator, description)
    arguments = ["probe", f"--model={tmp_path / 'model'}", f"--output={tmp_path / 'out'}"]
    main(arguments)
    printed = capsys.readouterr().out
    assert "| representation | linear |" in printed
    assert "| pixels | convolutional |" in printed
    found = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert len(found["scores"]) == 3 * 2 * 3
    assert (tmp_path / "out" / "adaptivity.png").exists()
    # The second time the features are taken from where they were kept, or gathered again where a
    # copy was cut off.
    kept = tmp_path / "out" / "features" / "test.npz"
    kept.write_bytes(kept.read_bytes()[:1000])
    gathered, gather = [], probes.gather

    def noted(source, *arguments, **options):
        gathered.append(len(source))
        return gather(source, *arguments, **options)

    monkeypatch.setattr(probes, "gather", noted)
    main(arguments)
    assert capsys.readouterr().out == printed
    assert gathered == [len(sets["test"])]
