"""Compilation and its cache; JAX's configuration is restored after each test."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from msdi_jax.runtime import compilation, target


@pytest.fixture(autouse=True)
def _unset():
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_the_cache_is_below_the_users_cache_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compilation.keep_programs()
    directory = Path(jax.config.jax_compilation_cache_dir)
    assert directory.parent == tmp_path / "msdi_jax"
    assert directory.is_dir()


def test_a_configured_cache_directory_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", "/elsewhere")
    compilation.keep_programs()
    assert jax.config.jax_compilation_cache_dir == "/elsewhere"
    assert not any(tmp_path.iterdir())


def test_the_cache_can_be_disabled(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        compilation.keep_programs()
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert jax.config.jax_compilation_cache_dir is None


def test_without_a_writable_directory_there_is_no_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    compilation.keep_programs()
    assert jax.config.jax_compilation_cache_dir is None


def test_a_second_process_uses_the_program_of_the_first(tmp_path):
    code = (
        "import jax, jax.numpy as jnp\n"
        "from msdi_jax.runtime.compilation import keep_programs\n"
        "keep_programs()\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
        "events = []\n"
        "jax.monitoring.register_event_listener(lambda event, **_: events.append(event))\n"
        "jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8))).block_until_ready()\n"
        "print(sum(event.endswith('/cache_hits') for event in events))\n"
    )
    root = Path(__file__).parents[2]
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": str(root)}
    hits = [
        int(
            subprocess.run(
                [sys.executable, "-c", code],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
                cwd=tmp_path,
            ).stdout
        )
        for _ in range(2)
    ]
    assert hits[0] == 0
    assert hits[1] > 0


def many_sums_of_weights():
    """Lower a program that can compute its large arrays all at first, or each when needed."""

    def chained(x, weights):
        for w in weights:
            x = jnp.tanh(x @ jnp.repeat(w, 16, axis=1))
        return x

    x = jax.ShapeDtypeStruct((8, 128), jnp.float32)
    weights = [jax.ShapeDtypeStruct((128, 8), jnp.float32)] * 32
    return jax.jit(chained).lower(x, weights)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="only for XLA's CPU compiler")
def test_the_order_of_instructions_saves_memory():
    def temporary_bytes(compiled):
        return compiled.memory_analysis().temp_size_in_bytes

    lowered = many_sums_of_weights()
    assert (
        temporary_bytes(compilation.compile_for_memory(lowered))
        < temporary_bytes(lowered.compile()) / 4
    )


def test_an_unknown_compiler_option_is_ignored(monkeypatch):
    monkeypatch.setattr(compilation, "_ORDER", {"xla_cpu_no_such_option": "1"})
    compiled = compilation.compile_for_memory(jax.jit(jnp.sin).lower(jnp.ones(3)))
    assert compiled(jnp.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("name", "ordered"), [("cpu", True), ("tpu", False), ("cuda", False)])
def test_the_order_for_memory_is_an_option_of_the_cpu_target(name, ordered):
    class Lowered:
        def compile(self, compiler_options=None):
            return compiler_options

    with target.tracing_for(name):
        options = compilation.compile_for_memory(Lowered())
    assert bool(options) == ordered
