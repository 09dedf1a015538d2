"""Selection of the weights in checkpoints of other training programs."""

import argparse
import pathlib

import numpy as np
import pytest
import torch

from msdi_jax import models
from msdi_jax.cli.main import main
from msdi_jax.interop import convert
from msdi_jax.interop.weight_selection import read
from tests.torch_files import DISCRIMINATOR, CreatesFile, save, tensors

KEYS = (
    *("state_dict", "params_ema", "params", "model", "net", "net_g", "generator"),
    *("model_state_dict", "anything", "ema.state_dict"),
)


@pytest.fixture(scope="module")
def weights(state_dict):
    return tensors(state_dict(DISCRIMINATOR))


def nested(key, content):
    for entry in reversed(key.split(".")):
        content = {entry: content}
    return content


def optimizer_state(weights):
    """A state of Adam, by number and, as some optimizers save it, by the key of the weight."""
    averages = {"exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2), "step": torch.tensor(1.0)}
    return {"state": {0: averages}, "param_groups": [{"lr": 1e-4, "params": [0]}], "mean": weights}


def records(weights):
    """What training programs save next to weights."""
    return {
        "args": argparse.Namespace(lr=1e-4, path=pathlib.PosixPath("data")),
        "folder": ForeignPath(),
        "best_psnr": np.float64(31.5),
        "epoch": np.int64(3),
        "losses": np.arange(3.0),
        "step": 3,
        "name": "run",
        "optimizer_state_dict": {"momentum_of": weights},
        "optimizers": [optimizer_state(weights)],
        "adam": optimizer_state(weights),
        "exp_avg": weights,
        "loss": {"criterion.weight": torch.zeros(3)},
    }


class ForeignPath:
    """Pickled as a path of Windows, which no other system can create."""

    def __reduce__(self):
        return pathlib.WindowsPath, ("C:\\", "data")


def assert_same(arrays, weights):
    assert set(arrays) == set(weights)
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, weights[key], err_msg=key)


@pytest.mark.parametrize("key", KEYS)
def test_weights_next_to_other_records_are_taken(tmp_path, weights, key):
    source = save(tmp_path / "a.pth", nested(key, weights) | records(weights))
    loaded = read(source)
    assert loaded.key == key
    assert_same(loaded.arrays, weights)


def test_weights_next_to_numbers_are_taken(tmp_path, weights):
    loaded = read(save(tmp_path / "a.pth", weights | {"epoch": 3, "step": torch.tensor(3)}))
    assert loaded.key == ""
    assert_same(loaded.arrays, weights)


@pytest.mark.parametrize(
    "rename",
    [
        lambda key: f"_orig_mod.{key}",
        lambda key: f"module._orig_mod.{key}",
        lambda key: f"_orig_mod.module.{key}",
        lambda key: key.replace(".", "._checkpoint_wrapped_module.", 1),
        lambda key: f"_fsdp_wrapped_module.{key}",
        lambda key: f"net_g.{key}",
        lambda key: f"self.model._orig_mod.{key}",
        lambda key: key.replace(".", ".module.", 1),
    ],
    ids=lambda rename: rename("key.bias"),
)
def test_prefixes_of_wrappers_are_removed(tmp_path, weights, rename):
    renamed = {rename(key): array for key, array in weights.items()}
    assert_same(read(save(tmp_path / "a.pth", {"state_dict": renamed})).arrays, weights)


def test_the_line_of_convert_names_the_entry_and_export_writes_it_again(tmp_path, weights, capsys):
    save(tmp_path / "a.pth", nested("ema.state_dict", weights))
    main(["convert", str(tmp_path / "a.pth"), str(tmp_path / "model")])
    line = f"discriminator, width 8, {len(weights)} arrays from ema.state_dict\n"
    assert line in capsys.readouterr().out
    assert models.read_description(tmp_path / "model").provenance["key"] == "ema.state_dict"
    convert.export(tmp_path / "model", tmp_path / "b.pth")
    assert_same(torch.load(tmp_path / "b.pth", weights_only=True)["ema"]["state_dict"], weights)


@pytest.mark.parametrize("key", ["params_ema", "nets.d", "nets"])
def test_one_of_several_weights_is_chosen_by_key(tmp_path, weights, key):
    chosen = {name: array + 1 for name, array in weights.items()}
    content = {"params": weights, "params_ema": chosen, "nets": {"d": chosen}}
    source = save(tmp_path / "a.pth", content)
    arguments = ["convert", str(source), str(tmp_path / "model")]
    message = r"under params, params_ema, nets\.d: choose one by --key"
    with pytest.raises(SystemExit, match=message):
        main(arguments)
    assert not (tmp_path / "model").exists()
    main([*arguments, "--key", key])
    assert_same(convert.to_published(models.load(tmp_path / "model").network), chosen)


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (lambda w: w, "under --key gone, but under the top level"),
        (lambda w: {"params": w}, "no weights are under --key gone, but under params"),
        (lambda w: {"gone_too": w}, "under --key gone, but under gone_too"),
    ],
)
def test_a_wrong_key_is_refused(tmp_path, weights, wrap, message):
    with pytest.raises(ValueError, match=message):
        read(save(tmp_path / "a.pth", wrap(weights)), "gone")


@pytest.mark.parametrize("key", ["adam", "optimizer", "exp_avg"])
def test_states_of_optimizers_are_no_weights(tmp_path, weights, key):
    content = {key: optimizer_state(weights) if key == "adam" else weights}
    for source in (content, content.get("adam", content)):
        with pytest.raises(ValueError, match="no named arrays outside optimizer states"):
            read(save(tmp_path / "a.pth", source))


def test_a_network_of_another_kind_is_refused_by_its_keys(tmp_path):
    source = save(tmp_path / "a.pth", {"state_dict": {"fc.weight": torch.zeros(2, 3)}, "step": 1})
    with pytest.raises(ValueError, match=r"its keys \(fc\.weight, …\) belong to no network"):
        convert.convert(source, tmp_path / "model")


@pytest.mark.parametrize("code", ["system", "Opaque"])
def test_other_classes_are_refused_with_the_fix(tmp_path, weights, code):
    marker = tmp_path / "executed"
    record = CreatesFile(marker) if code == "system" else Opaque()
    source = save(tmp_path / "a.pth", {"params": weights, "args": record})
    message = rf"would run \S+\.{code}, which is refused: save the weights alone"
    with pytest.raises(ValueError, match=message):
        read(source)
    assert not marker.exists()


class Opaque:
    """A class of a training program."""
