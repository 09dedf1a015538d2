"""Targets to compile for: their data files, and the refusals before anything is compiled."""

import pytest

from msdi_jax.runtime import topology


def test_known_accelerators_have_memory_and_peak():
    known = topology.accelerators()
    assert list(known) == ["v5e", "v5p", "v6e", "h100", "a100"]
    for name, accelerator in known.items():
        assert accelerator.memory_bytes > 15e9, name
        assert accelerator.peak_flops > 1e14, name
        is_gpu = accelerator.platform == "cuda"
        assert is_gpu == bool(accelerator.description) == (accelerator.clock_hz is None), name
    # Published: 80 GB and 16 GB, of which the system takes a part.
    assert known["h100"].memory_bytes == 84942979072
    assert known["v5e"].memory_bytes == 15.75 * 2**30


def test_the_peak_of_tpus_is_that_of_their_matrix_units():
    """Units of 128 × 128 products on v5e and v5p, of 256 × 256 on v6e."""
    for name, products in {"v5e": 4 * 128**2, "v5p": 8 * 128**2, "v6e": 4 * 256**2}.items():
        accelerator = topology.accelerators()[name]
        peak = 2 * products * accelerator.clock_hz
        assert peak == pytest.approx(accelerator.peak_flops, rel=0.01), name


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("v7", r"--target v7 is unknown: choose one of v5e, v5p, v6e, h100, a100$"),
        ("v5e", r"--target v5e needs the topology of the TPUs, like v5e:2x2$"),
        ("v5p:", r"--target v5p: needs the topology of the TPUs, like v5p:2x2x1$"),
        ("v5e:0x4", r"--target v5e:0x4 needs the topology"),
        ("h100:2x2", r"--target h100:2x2 must be h100, or h100:N for N GPUs$"),
    ],
)
def test_unusable_targets_are_refused(target, message):
    with pytest.raises(ValueError, match=message):
        topology.find_devices(target)


@pytest.mark.parametrize(("target", "package"), [("v5e:2x2", "libtpu"), ("a100", "jax-cuda12-")])
def test_a_missing_compiler_is_named_with_its_pip_line(monkeypatch, target, package):
    monkeypatch.setattr(topology, "_is_installed", lambda module: False)
    with pytest.raises(ValueError, match=rf"needs {package}.*: pip install 'msdi_jax\[aot\]'$"):
        topology.find_devices(target)


def test_only_existing_modules_are_installed():
    assert topology._is_installed("jax")
    assert not topology._is_installed("libtpu_for_nobody")
    assert not topology._is_installed("jax_plugins_for_nobody.xla")
