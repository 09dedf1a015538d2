"""The loop: one stage, from its first or its last saved step to its end.

In order: the latest checkpoint is restored, if there is one; the rows logged beyond it are
dropped; then for every step its batch is read by number, the step is dispatched, and while it
runs the scalars of the step before are logged. Losses on held-out crops and checkpoints come at
their intervals, and both at the end.
"""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from data import pipeline
from msdi_jax.checkpoint import Checkpoints
from msdi_jax.log import StageLog
from msdi_jax.mesh import over_batch, replicated
from msdi_jax.stage import Stage
from msdi_jax.state import State


class Interrupted(Exception):  # noqa: N818 - not an error: the run was asked to stop
    """The run was asked to stop; everything up to `step` is saved."""

    def __init__(self, step: int):
        super().__init__(step)
        self.step = step


class _StopRequest:
    """Notes SIGINT and SIGTERM, so that the step under way is finished and saved.

    A second one stops at once.
    """

    def __init__(self):
        self.made = False

    def __call__(self, number, frame):
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        print("stopping after this step; once more to stop at once", flush=True)

    @contextlib.contextmanager
    def listening(self) -> Iterator["_StopRequest"]:
        before = {s: signal.signal(s, self) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def train(
    name: str,
    stage: Stage,
    config: ml_collections.ConfigDict,
    *,
    workdir: Path,
    mesh: Mesh,
    train_source,
    test_source,
) -> State:
    """Trains stage `name` (whose fields are `config[name]`) to its end and returns its state.

    Raises:
        Interrupted: after SIGINT or SIGTERM, with everything saved.
    """
    settings = config[name]
    with (
        contextlib.closing(Checkpoints(workdir / "checkpoints" / name)) as checkpoints,
        _StopRequest().listening() as stop,
    ):
        state = _start(stage, config, checkpoints, mesh)
        start = int(state.step)
        with contextlib.closing(StageLog(workdir, name, start=start, steps=settings.steps)) as log:
            measure = _held_out(stage, settings, test_source, mesh, log)
            if start == 0:
                measure(state)
            batches = pipeline.batches(
                train_source,
                batch_size=settings.batch_size,
                crop=settings.crop,
                seed=config.seed,
            )
            return _steps(stage, state, settings, batches, mesh, log, checkpoints, measure, stop)


def _start(
    stage: Stage, config: ml_collections.ConfigDict, checkpoints: Checkpoints, mesh: Mesh
) -> State:
    state = jax.device_put(stage.init(jax.random.key(config.seed)), replicated(mesh))
    if checkpoints.latest() is None:
        return state
    print(f"going on from step {checkpoints.latest()}", flush=True)
    return checkpoints.restore(state)


def _held_out(stage: Stage, settings, source, mesh: Mesh, log: StageLog):
    """A function that logs the losses of a state on fixed crops of the held-out photographs."""
    batch = pipeline.centre_crops(source, settings.crop, settings.held_out_images)
    batch = jax.device_put(batch, _if_divisible(mesh, batch))
    losses = jax.jit(stage.held_out)

    def measure(state: State) -> None:
        log.held_out(int(state.step), _floats(losses(state, batch)))

    return measure


def _if_divisible(mesh: Mesh, batch):
    """Few held-out crops need not divide among many devices."""
    count = len(batch["blurry"])
    return over_batch(mesh) if count % mesh.shape["data"] == 0 else replicated(mesh)


def _steps(stage, state, settings, batches, mesh, log, checkpoints, measure, stop) -> State:
    train_step = jax.jit(stage.train_step, donate_argnums=0)
    unlogged = []
    start = int(state.step)
    with contextlib.closing(pipeline.iterate(batches, start)) as iterator:
        for step in range(start + 1, settings.steps + 1):
            batch = jax.device_put(next(iterator), over_batch(mesh))
            state, scalars = train_step(state, batch)
            # While this step runs: reading its own scalars would wait for it.
            _log(log, unlogged)
            last = step == settings.steps
            if step % settings.log_every == 0 or last:
                unlogged.append((step, scalars))
            if step % settings.held_out_every == 0 or last:
                _log(log, unlogged)
                measure(state)
            if step % settings.checkpoint_every == 0 or last or stop.made:
                checkpoints.save(state)
            if stop.made and not last:
                raise Interrupted(step)
    return state


def _log(log: StageLog, unlogged: list) -> None:
    while unlogged:
        step, scalars = unlogged.pop()
        log.train(step, _floats(scalars))


def _floats(scalars) -> dict[str, float]:
    return {name: float(np.asarray(value)) for name, value in jax.device_get(scalars).items()}
