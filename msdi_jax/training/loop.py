"""The training loop of one stage, from the first step or the last saved one to the end.

1. The latest readable checkpoint is restored, if there is one, and log rows beyond it are dropped.
2. For every step, its batch is read by step number and the step is dispatched. While it runs, the
   scalars of the previous step are read and checked.
3. Val losses are measured and checkpoints are saved at their intervals, and after the last step.
"""

import contextlib
import dataclasses
import math
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
from jax.sharding import Mesh

from msdi_jax.data import pipeline
from msdi_jax.runtime import processes
from msdi_jax.runtime.checkpoint import Checkpoints
from msdi_jax.runtime.mesh import fsdp_sharding, global_batch, place, replicated
from msdi_jax.training.batches import train_batches, val_batch
from msdi_jax.training.metrics_log import SHOWN_CROPS, NoLog, StageLog
from msdi_jax.training.stage import PRODUCTS, Batch, Scalars, Stage
from msdi_jax.training.state import State, averaged


class Interrupted(Exception):  # noqa: N818 - a stop that was requested is no error
    """A stop was requested; all steps up to `step` are saved."""

    def __init__(self, step: int):
        super().__init__(step)
        self.step = step


class StopRequest:
    """Handler of SIGINT and SIGTERM: the current step is finished and saved.

    A second signal stops at once.
    """

    def __init__(self):
        self.requested = False

    def __call__(self, number, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("stopping after this step; interrupt again to stop at once", flush=True)

    @contextlib.contextmanager
    def listening(self) -> Iterator["StopRequest"]:
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
    train_source: Sequence[Mapping],
    val_source: Sequence[Mapping],
    stop: StopRequest,
) -> dict[str, State]:
    """Train stage `name`, whose fields are `config[name]`, to its end.

    Args:
        name: of the stage, in logs and paths.
        stage: the stage's pure functions.
        config: the run's configuration.
        workdir: run directory; training resumes from its latest checkpoint.
        mesh: devices to train on.
        train_source: training records.
        val_source: val records; with none, no val losses are measured and no state is the best.
        stop: the request to stop, checked after every step.

    Returns:
        States of host arrays without optimiser moments: "last"; "ema", its moving average, if
        `ema_decay` is on; "best", the one with the highest val PSNR, if it is not the last.

    Raises:
        Interrupted: if `stop` was requested before the last step; everything is saved.
        ValueError: if losses or gradients are not finite, a checkpoint cannot be written, or
            data cannot be read.
    """
    settings = config[name]
    checkpoints = Checkpoints(workdir / "checkpoints" / name, **config.checkpoints)
    with contextlib.closing(checkpoints):
        like = abstract_state(stage.init, config, mesh)
        state = _start(stage, config, checkpoints, like)
        start = int(state.step)
        first = processes.is_first()
        log = StageLog(workdir, name, start=start, steps=settings.steps) if first else NoLog()
        with contextlib.closing(log), stepping(config, mesh):
            val = val_batch(val_source, settings, mesh)
            loop = _Loop(name, stage, settings, mesh, val, log, checkpoints, stop)
            if val and start == 0:
                loop.measure(state)
            state = loop.run(state, like, train_batches(train_source, config, settings, mesh))
        checkpoints.wait()
        return _exports(state, like, checkpoints)


@contextlib.contextmanager
def stepping(config: ml_collections.ConfigDict, mesh: Mesh) -> Iterator[None]:
    """Trace and run steps on `mesh`, with products of float32 as `config.compute_dtype` says."""
    products = jax.default_matmul_precision(PRODUCTS[config.compute_dtype])
    with jax.set_mesh(mesh), products:
        yield


def jitted_step(stage: Stage, like: State, mesh: Mesh) -> jax.stages.Wrapped:
    """Return the jitted step, of a state as `like`, which is donated, a batch and requests to stop.

    Its scalars include whether any process requests a stop, so that all agree.
    """

    def step(state: State, batch: Batch, stop: jax.Array) -> tuple[State, Scalars]:
        state, scalars = stage.train_step(state, batch)
        return state, scalars | {"stop": jnp.any(stop)}

    return jax.jit(step, donate_argnums=0, out_shardings=(_shardings(like), replicated(mesh)))


def abstract_state(
    init: Callable[[jax.Array], State], config: ml_collections.ConfigDict, mesh: Mesh
) -> State:
    """Return the shapes, types and shardings of the states that start with `init(key)`."""
    abstract = jax.eval_shape(init, jax.random.key(config.seed))
    shardings = jax.tree.map(lambda _: replicated(mesh), abstract)
    if config.mesh.shard_state:
        large = ("params", "opt", "frozen", "ema")
        pieces = {field: fsdp_sharding(getattr(abstract, field), mesh) for field in large}
        shardings = dataclasses.replace(shardings, **pieces)
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), abstract, shardings
    )


def _shardings(like: State) -> State:
    return jax.tree.map(lambda x: x.sharding, like)


def _start(
    stage: Stage, config: ml_collections.ConfigDict, checkpoints: Checkpoints, like: State
) -> State:
    state = checkpoints.restore_latest_readable(like, processes.print_once)
    if state is None:
        return place(stage.init(jax.random.key(config.seed)), _shardings(like))
    processes.print_once(f"resuming from step {int(state.step)}")
    return state


def _exports(state: State, like: State, checkpoints: Checkpoints) -> dict[str, State]:
    def on_host(state: State) -> State:
        return processes.on_host(dataclasses.replace(state, opt={}, ema={}))

    states, last = {"last": on_host(state)}, int(state.step)
    if state.ema:
        states["ema"] = on_host(averaged(state))
    # Frees device memory, which the best state may need.
    del state
    best = checkpoints.best()
    if best not in (None, last):
        restored, reason = checkpoints.restore_if_readable(like, best)
        if restored is not None:
            states["best"] = on_host(restored)
        # The best state is optional: the run must finish without it.
        else:
            processes.print_once(f"the best checkpoint, of step {best}, is left out: {reason}")
    return states


@dataclasses.dataclass
class _Loop:
    """The steps of one stage, with logging, val losses and checkpoints between them."""

    name: str
    stage: Stage
    settings: ml_collections.ConfigDict
    mesh: Mesh
    val: Batch | None
    log: StageLog | NoLog
    checkpoints: Checkpoints
    stop: StopRequest

    def __post_init__(self):
        self.unread: list[tuple[int, Scalars]] = []
        losses = jax.jit(self._losses_and_pictures, out_shardings=replicated(self.mesh))
        self.losses = processes.compiled_together(f"{self.name} losses", losses)

    def run(self, state: State, like: State, batches) -> State:
        """Train to the last step; read a step's scalars while the next one runs."""
        train_step = jitted_step(self.stage, like, self.mesh)
        train_step = processes.compiled_together(f"{self.name} step", train_step)
        settings, start = self.settings, int(state.step)
        with contextlib.closing(pipeline.iterate(batches, start)) as iterator:
            for step in range(start + 1, settings.steps + 1):
                batch = global_batch(next(iterator), self.mesh, settings.batch_size)
                state, scalars = train_step(
                    state, batch, processes.flags(self.mesh, self.stop.requested)
                )
                stop = self._read()
                self.unread.append((step, scalars))
                last = step == settings.steps
                measured = self.val and (last or step % settings.val_every == 0)
                saved = last or step % settings.checkpoint_every == 0
                if measured or saved or stop:
                    # A state that is not finite must be neither measured nor saved.
                    stop = self._read() or stop
                psnr = self.measure(state) if measured else None
                if saved or stop:
                    self.checkpoints.save(state, psnr)
                if stop and not last:
                    self.checkpoints.wait()
                    raise Interrupted(step)
        return state

    def _read(self) -> bool:
        """Log the steps not yet read; return whether to stop after the current one.

        Raises:
            ValueError: a step was not finite, and `skip_nonfinite` allows no more such steps.
        """
        stop = False
        while self.unread:
            step, scalars = self.unread.pop(0)
            values = {key: float(value) for key, value in jax.device_get(scalars).items()}
            stop = bool(values.pop("stop"))
            skipped = int(values.pop("skipped"))
            bad = [key for key, value in values.items() if not math.isfinite(value)]
            if bad:
                self._skip_or_raise(step, bad, skipped)
            elif step % self.settings.log_every == 0 or step == self.settings.steps:
                self.log.train(step, values | ({"skipped": skipped} if skipped else {}))
        # A single process need not wait until its request returns from the devices.
        return stop or (processes.alone() and self.stop.requested)

    def _skip_or_raise(self, step: int, bad: list[str], skipped: int) -> None:
        message = f"{self.name} step {step}: {', '.join(bad)} not finite"
        allowed = self.settings.skip_nonfinite
        if skipped <= allowed:
            processes.print_once(f"{message}: step skipped ({skipped} of at most {allowed})")
            return
        latest = self.checkpoints.latest()
        saved = f"the last good checkpoint is step {latest}" if latest else "nothing was saved yet"
        raise ValueError(
            f"{message}; {saved}: repeat with --config.{self.name}.skip_nonfinite=K to skip up to "
            "K such steps, or start again with a smaller learning_rate"
        )

    def measure(self, state: State) -> float:
        """Log the losses on the val crops; return the PSNR, dB."""
        scalars, pictures = jax.device_get(self.losses(state, self.val))
        values = {key: float(value) for key, value in scalars.items()}
        self.log.val(int(state.step), values, pictures)
        return values["psnr"]

    def _losses_and_pictures(self, state: State, batch: Batch):
        scalars, pictures = self.stage.val_step(state, batch)
        shown = {
            key: jnp.round(255 * images[:SHOWN_CROPS].clip(0, 1)).astype(jnp.uint8)
            for key, images in pictures.items()
        }
        if state.ema:
            smooth, _ = self.stage.val_step(averaged(state), batch)
            scalars |= {f"ema_{key}": value for key, value in smooth.items()}
        return scalars, shown
