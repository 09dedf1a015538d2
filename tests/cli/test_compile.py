"""The command `msdi compile`: refusals, what it prints, and real compilers where installed."""

import json
import re

import jax
import pytest

from msdi_jax.cli import compile as command
from msdi_jax.cli.main import main
from msdi_jax.models import Architecture
from msdi_jax.models.cost import count
from msdi_jax.runtime import target, topology

NAFNET = [
    "--config=gopro_nafnet:32",
    "--config.width=2",
    "--config.deblur.blocks=(1, 1, 1)",
    "--config.deblur.crop=16",
]
FIGURES = {
    "estimated_cycles",
    "share_of_peak",
    "flops",
    "bytes_accessed",
    "argument_bytes",
    "temporary_bytes",
    "device_bytes",
    "fits",
    "collectives",
    "kernels",
    "compile_seconds",
}


@pytest.fixture(autouse=True)
def options_of_jax():
    names = ("jax_platforms", "jax_enable_compilation_cache")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def imagined(monkeypatch):
    """A TPU that is the CPU of this machine; the target that programs were traced for."""
    memory, traced = 10**12, []
    tpu = topology.Accelerator("v5e", "tpu", memory, peak_flops=197e12, clock_hz=1.5e9)
    monkeypatch.setattr(topology, "find_devices", lambda name: (tpu, jax.devices()))
    lower = command._lower
    record = lambda *given: traced.append(target.current()) or lower(*given)  # noqa: E731
    monkeypatch.setattr(command, "_lower", record)
    return traced


def refused(*options, message):
    with pytest.raises(SystemExit, match=rf"^error: [^\n]*{message}[^\n]*$"):
        main(["compile", *options])


def test_a_configuration_that_does_not_exist_is_refused():
    refused("--config=none.py", "--target=v5e:2x2", message="--config none.py does not exist")


def test_an_unknown_target_is_refused_with_the_known_ones():
    refused("--config=gopro_deblur", "--target=v9", message="v9 is unknown: .* v5e, v5p, v6e, h100")


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setattr(topology, "_is_installed", lambda module: False)
    message = r"v5e needs libtpu: pip install 'msdi_jax\[aot\]'"
    refused("--config=gopro_deblur", "--target=v5e:2x2", message=message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config.mesh.rows=3"], "mesh.rows=3 must be at most the number of devices, 1"),
        (["--config.mesh.data=2"], "2 × 1 must be at most the number of devices, 1"),
        (["--images-per-device=0"], "--images-per-device=0 must be at least 1"),
        (["--images-per-device=3", "--config.deblur.accumulate=2"], "batch_size=3 must be a mult"),
        (["--stage=evaluate", "--size=big"], "--size big must be HEIGHTxWIDTH in pixels"),
        (["--stage=evaluate", "--size=0x9"], "--size 0x9: the sides must be above 0"),
        (["--config.compute_dtype=int4"], "compute_dtype='int4' must be one of"),
    ],
    ids=str,
)
def test_impossible_options_are_refused_before_tracing(imagined, options, message):
    refused(*NAFNET, "--target=v5e:1x1", *options, message=message)
    assert imagined == []


def test_a_step_with_its_figures(imagined, tmp_path, capsys):
    folder = tmp_path / "hlo"
    options = ["--images-per-device=2", "--json", f"--save-hlo={folder}", "--dearest=3"]
    main(["compile", *NAFNET, "--target=v5e:1x1", *options])
    assert imagined == ["tpu"]
    out = capsys.readouterr().out
    assert "deblur of gopro_nafnet:32, 2 images per device" in out
    assert "Per device; the compiler's account, not a measurement" in out
    assert "of 1000 GB: fits" in out
    figures = json.loads(out.splitlines()[-1])
    assert figures.keys() >= FIGURES
    assert figures["images_per_device"] == 2
    assert figures["mesh"] == {"data": 1, "rows": 1}
    assert figures["fits"]
    # The CPU's compiler gives no cycles.
    assert figures["estimated_cycles"] is figures["share_of_peak"] is figures["kernels"] is None
    assert figures["collectives"] == {}
    assert figures["flops"] > 0
    (file,) = folder.iterdir()
    assert file.name == "deblur-v5e-1x1-2.hlo.txt"
    assert file.read_text().startswith("HloModule jit_step")


def test_an_evaluation(imagined, capsys):
    main(["compile", *NAFNET, "--target=v5e:1x1", "--stage=evaluate", "--size=30x32", "--json"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["stage"] == "evaluate"
    assert figures["images_per_device"] == 1


@pytest.mark.parametrize(
    ("stage", "advice"),
    [
        ("deblur", "lower deblur.batch_size, .* remat, .* mesh.shard_state"),
        ("evaluate", "lower --"),
    ],
)
def test_a_program_that_does_not_fit_comes_with_advice(stage, advice):
    from msdi_jax.training.ahead_of_time import Account

    account = Account(15 * 10**9, 1.0, fits=False, refusal="Ran out of memory.")
    tpu = topology.accelerators()["v5e"]
    lines = "\n".join(command._table(account, tpu, stage))
    assert "not given by the compiler of 15 GB: does not fit" in lines
    assert "Ran out of memory." in lines
    assert re.search(f"To make it fit: {advice}", lines)


def compiled(target, package, capsys):
    if not topology._is_installed(package):
        pytest.skip(f"needs {package}: pip install 'msdi_jax[aot]'")
    options = ["--config.width=4", "--config.deblur.depth=2", "--config.deblur.crop=32"]
    options += ["--images-per-device=1", "--config.compute_dtype=bfloat16", "--json"]
    main(["compile", "--config=gopro_deblur", f"--target={target}", *options])
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.slow
def test_a_step_of_width_4_for_four_tpus(capsys):
    figures = compiled("v5e:2x2", "libtpu", capsys)
    assert figures["mesh"] == {"data": 4, "rows": 1}
    assert figures["fits"]
    assert figures["device_bytes"] == 15.75 * 2**30
    assert 1e5 < figures["estimated_cycles"] < 1e8
    assert 0 < figures["share_of_peak"] < 0.01
    assert figures["flops"] > 1e7
    assert figures["bytes_accessed"] > figures["argument_bytes"] > 1e6
    # The devices sum the gradients of the trained parameters, in float32.
    cost = count(Architecture("msdi_net", 4, depth=2))
    gradients = 4 * (cost.parameters - cost.frozen)
    assert gradients < figures["collectives"]["all-reduce"]["bytes"] < 2 * gradients
    assert figures["kernels"] is None


@pytest.mark.slow
def test_a_step_of_width_4_for_a_gpu(capsys):
    figures = compiled("h100", "jax_plugins.xla_cuda12", capsys)
    assert figures["fits"]
    assert 100 < figures["kernels"] < 10_000
    assert figures["collectives"] == {}
    assert figures["temporary_bytes"] > 1e5
    assert figures["estimated_cycles"] is figures["share_of_peak"] is None
