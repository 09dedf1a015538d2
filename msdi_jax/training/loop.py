"""The loop: one stage, from its first or its last saved step to its end.

In order: the latest readable checkpoint is restored, if there is one; the rows logged beyond it
are dropped; then for every step its batch is read by number, the step is dispatched, and while it
runs the scalars of the step before are looked at. Losses on val crops and checkpoints come at
their intervals, and both at the end.
"""

import contextlib
import dataclasses
import math
import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
from jax.sharding import Mesh

from msdi_jax.data import pipeline
from msdi_jax.data.augment import Augmentation
from msdi_jax.data.photographs import find
from msdi_jax.data.synthesis.shared_blur import SharedBlurPairs, settings_of
from msdi_jax.data.validation import held_back
from msdi_jax.runtime import processes
from msdi_jax.runtime.checkpoint import Checkpoints
from msdi_jax.runtime.mesh import (
    batch_part,
    fsdp_sharding,
    global_batch,
    over_batch,
    place,
    replicated,
)
from msdi_jax.training.metrics_log import SHOWN_CROPS, NoLog, StageLog
from msdi_jax.training.stage import PRODUCTS, Batch, Scalars, Stage
from msdi_jax.training.state import State, averaged


class Interrupted(Exception):  # noqa: N818 - not an error: the run was asked to stop
    """The run was asked to stop; everything up to `step` is saved."""

    def __init__(self, step: int):
        super().__init__(step)
        self.step = step


class StopRequest:
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
    train_source,
    val_source,
    stop: StopRequest,
) -> dict[str, State]:
    """Trains stage `name` (whose fields are `config[name]`) to its end.

    Returns:
        States of host arrays without optimiser moments: "last"; "ema", its moving average, where
        that is on; "best", by val PSNR, where it is another one than the last.

    Raises:
        Interrupted: when `stop` was made before the last step, with everything saved.
        ValueError: when losses or gradients are not finite, a checkpoint cannot be written, or
            data cannot be read.
    """
    settings = config[name]
    checkpoints = Checkpoints(workdir / "checkpoints" / name, **config.checkpoints)
    with contextlib.closing(checkpoints):
        like = abstract_state(stage, config, mesh)
        state = _start(stage, config, checkpoints, like)
        start = int(state.step)
        first = processes.is_first()
        products = jax.default_matmul_precision(PRODUCTS[config.compute_dtype])
        log = StageLog(workdir, name, start=start, steps=settings.steps) if first else NoLog()
        with contextlib.closing(log), jax.set_mesh(mesh), products:
            val = _val_batch(val_source, settings, mesh)
            loop = _Loop(name, stage, settings, mesh, val, log, checkpoints, stop)
            if start == 0:
                loop.measure(state)
            state = loop.run(state, like, _batches(train_source, config, settings, mesh))
        checkpoints.wait()
        return _exports(state, like, checkpoints)


def abstract_state(stage: Stage, config: ml_collections.ConfigDict, mesh: Mesh) -> State:
    """The shapes, types and shardings of the stage's states."""
    abstract = jax.eval_shape(stage.init, jax.random.key(config.seed))
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
    processes.print_once(f"going on from step {int(state.step)}")
    return state


def _exports(state: State, like: State, checkpoints: Checkpoints) -> dict[str, State]:
    def on_host(state: State) -> State:
        return processes.on_host(dataclasses.replace(state, opt={}, ema={}))

    found, last = {"last": on_host(state)}, int(state.step)
    if state.ema:
        found["ema"] = on_host(averaged(state))
    # The best one may need the room on the devices.
    del state
    best = checkpoints.best()
    if best not in (None, last):
        kept, lack = checkpoints.restore_if_readable(like, best)
        if kept is not None:
            found["best"] = on_host(kept)
        # What is only extra must not keep a run from its end.
        else:
            processes.print_once(f"the best checkpoint, of step {best}, is left out: {lack}")
    return found


def _val_batch(source, settings: ml_collections.ConfigDict, mesh: Mesh) -> Batch:
    """Fixed crops of the val photographs; few of them need not divide among devices."""
    context = settings.get("context", 0)
    batch = pipeline.centre_crops(source, settings.crop, settings.val_images, context)
    even = len(batch["blurry"]) % mesh.shape["data"] == 0
    sharding = over_batch(mesh) if even else replicated(mesh)
    return place(batch, dict.fromkeys(batch, sharding))


def _batches(source, config: ml_collections.ConfigDict, settings, mesh: Mesh):
    part, parts = batch_part(mesh)
    common = {
        "batch_size": settings.batch_size,
        "seed": config.seed,
        "process": part,
        "processes": parts,
    }
    augmentation = Augmentation(**config.augmentation)
    if settings.get("shared_blur"):
        twins = _twins(config, settings.crop, augmentation)
        # Twins that are sharp are so together.
        augmentation = dataclasses.replace(augmentation, identity=0.0)
        return pipeline.batches_of_crops(twins, augmentation=augmentation, **common)
    return pipeline.batches(
        source,
        crop=settings.crop,
        context=settings.get("context", 0),
        skip_damaged=config.skip_damaged,
        augmentation=augmentation,
        **common,
    )


def _twins(
    config: ml_collections.ConfigDict, crop: int, augmentation: Augmentation
) -> SharedBlurPairs:
    settings = settings_of(config.dataset.to_dict())
    photographs = find(settings.photographs).train
    aside = held_back((photo.name for photo in photographs), config.val)
    photographs = [photo for photo in photographs if photo.name not in aside]
    return SharedBlurPairs(photographs, settings, crop, augmentation.windows, augmentation.identity)


@dataclasses.dataclass
class _Loop:
    """The steps of one stage, and what is looked at, measured and saved between them."""

    name: str
    stage: Stage
    settings: ml_collections.ConfigDict
    mesh: Mesh
    val: Batch
    log: StageLog | NoLog
    checkpoints: Checkpoints
    stop: StopRequest

    def __post_init__(self):
        self.unread: list[tuple[int, Scalars]] = []
        losses = jax.jit(self._losses_and_pictures, out_shardings=replicated(self.mesh))
        self.losses = processes.compiled_together(f"{self.name} losses", losses)

    def run(self, state: State, like: State, batches) -> State:
        """Steps to the end; reads a step's scalars when the next one is under way."""
        train_step = jax.jit(
            self._step,
            donate_argnums=0,
            out_shardings=(_shardings(like), replicated(self.mesh)),
        )
        train_step = processes.compiled_together(f"{self.name} step", train_step)
        settings, start = self.settings, int(state.step)
        with contextlib.closing(pipeline.iterate(batches, start)) as iterator:
            for step in range(start + 1, settings.steps + 1):
                batch = global_batch(next(iterator), self.mesh, settings.batch_size)
                state, scalars = train_step(
                    state, batch, processes.flags(self.mesh, self.stop.made)
                )
                stop = self._read()
                self.unread.append((step, scalars))
                last = step == settings.steps
                measured = last or step % settings.val_every == 0
                saved = last or step % settings.checkpoint_every == 0
                if measured or saved or stop:
                    # Nothing unsound is measured or saved.
                    stop = self._read() or stop
                psnr = self.measure(state) if measured else None
                if saved or stop:
                    self.checkpoints.save(state, psnr)
                if stop and not last:
                    self.checkpoints.wait()
                    raise Interrupted(step)
        return state

    def _step(self, state: State, batch: Batch, stop: jax.Array) -> tuple[State, Scalars]:
        """With the processes' requests to stop, on which they must agree."""
        state, scalars = self.stage.train_step(state, batch)
        return state, scalars | {"stop": jnp.any(stop)}

    def _read(self) -> bool:
        """Logs the steps not looked at yet; whether to stop after the one under way.

        Raises:
            ValueError: for a step that was not finite, when no more such steps may be left out.
        """
        stop = False
        while self.unread:
            step, scalars = self.unread.pop(0)
            values = {key: float(value) for key, value in jax.device_get(scalars).items()}
            stop = bool(values.pop("stop"))
            skipped = int(values.pop("skipped"))
            bad = [key for key, value in values.items() if not math.isfinite(value)]
            if bad:
                self._complain(step, bad, skipped)
            elif step % self.settings.log_every == 0 or step == self.settings.steps:
                self.log.train(step, values | ({"skipped": skipped} if skipped else {}))
        # A process alone need not wait for its own request to come round.
        return stop or (processes.alone() and self.stop.made)

    def _complain(self, step: int, bad: list[str], skipped: int) -> None:
        found = f"{self.name} step {step}: {', '.join(bad)} not finite"
        allowed = self.settings.skip_nonfinite
        if skipped <= allowed:
            processes.print_once(f"{found}: step left out ({skipped} of at most {allowed})")
            return
        latest = self.checkpoints.latest()
        saved = f"the last good checkpoint is step {latest}" if latest else "nothing was saved yet"
        raise ValueError(
            f"{found}; {saved}: repeat with --config.{self.name}.skip_nonfinite=K to leave out up "
            "to K such steps, or start anew with a smaller learning_rate"
        )

    def measure(self, state: State) -> float:
        """Logs the losses on the val crops; returns the PSNR."""
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
