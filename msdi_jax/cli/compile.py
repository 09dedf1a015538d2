"""msdi compile: compile a training step for a TPU or GPU that is not there."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msdi_jax.cli import experiment
from msdi_jax.cli.paths import path
from msdi_jax.cli.sizes import sides

if TYPE_CHECKING:
    from msdi_jax.training.ahead_of_time import Account

EPILOG = """\
examples:
  msdi compile --config gopro_deblur --target v5e:4x4 --images-per-device 3
  msdi compile --config gopro_nafnet:32 --target h100 --json
  msdi compile --config gopro_deblur --target v5e:1x1 --stage evaluate --size 720x1280

All figures are the compiler's account, not measurements. It needs pip install 'msdi_jax[aot]',
and neither weights nor data.
"""
NOTE = "the compiler's account, not a measurement"


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "compile",
        usage="msdi compile --config NAME --target TARGET [--config.FIELD=VALUE ...]",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run, overrides=[])
    parser.add_argument(
        "--config", required=True, metavar="NAME[:VARIANT]", help="as for msdi train"
    )
    parser.add_argument(
        "--target",
        required=True,
        help="TPUs with their topology, v5e:4x4, v5p:2x2x1 or v6e:2x4, or GPUs: h100, a100, h100:8",
    )
    parser.add_argument(
        "--stage",
        choices=("reblur", "deblur", "evaluate"),
        help="training step, or the forward pass of an evaluation; default: the last stage's step",
    )
    parser.add_argument(
        "--images-per-device",
        type=int,
        metavar="N",
        help="images per device of mesh axis data; default: as the batch size, or 1 to evaluate",
    )
    parser.add_argument(
        "--size", default="256x256", help="of the images to evaluate; default: %(default)s"
    )
    parser.add_argument(
        "--dearest", type=int, default=0, metavar="N", help="list the N dearest instructions, TPUs"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as the last line")
    parser.add_argument(
        "--save-hlo", type=path, metavar="DIR", help="folder for the text of the optimized program"
    )


def run(options: argparse.Namespace) -> None:
    """Compile and print the account.

    Raises:
        ValueError: for an unusable configuration, target, mesh or size, before compiling.
    """
    config = experiment.load(options.config, options.overrides)
    # Imported here, to refuse a configuration at once.
    import jax

    # Neither the devices of this machine nor earlier results are of interest.
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_compilation_cache", False)
    from msdi_jax.runtime import target
    from msdi_jax.runtime.mesh import make_mesh
    from msdi_jax.runtime.topology import find_devices
    from msdi_jax.training import ahead_of_time

    accelerator, devices = find_devices(options.target)
    mesh = make_mesh(config.mesh.data, config.mesh.rows, devices)
    stage = options.stage or config.stages[-1]
    images = _images(options, config, stage, mesh)
    if options.save_hlo:
        options.save_hlo.mkdir(parents=True, exist_ok=True)
    title = (
        f"{stage} of {options.config}, {images} images per device of mesh axis data, on "
        f"{mesh.size} × {devices[0].device_kind}, mesh {dict(mesh.shape)}"
    )
    print(f"{title}: compiling …", flush=True)
    with target.tracing_for(accelerator.platform):
        lowered = _lower(options, config, stage, mesh, images)
    account, text = ahead_of_time.compile_for(accelerator, lowered)
    print("\n".join(_table(account, accelerator, stage)))
    if text and options.dearest:
        print("\n".join(_dearest(text, options.dearest)))
    if text and options.save_hlo:
        name = f"{stage}-{options.target.replace(':', '-')}-{images}.hlo.txt"
        print(_saved(options.save_hlo / name, text))
    if options.json:
        labels = {"target": options.target, "stage": stage, "images_per_device": images}
        print(json.dumps(_as_json(account) | labels | {"mesh": dict(mesh.shape), "note": NOTE}))


def _images(options: argparse.Namespace, config: Any, stage: str, mesh: Any) -> int:
    """Return the number of images per device; set the batch size to it, and check both.

    Raises:
        ValueError: it is impossible, or another field is.
    """
    from msdi_jax.training import ahead_of_time

    if (images := options.images_per_device) is not None and images < 1:
        raise ValueError(f"--images-per-device={images} must be at least 1")
    if stage == "evaluate":
        ahead_of_time.check_evaluation(config, sides(options.size), mesh)
        return images or 1
    if images:
        config[stage].batch_size = images * mesh.shape["data"]
    ahead_of_time.check(config, stage, mesh)
    return config[stage].batch_size // mesh.shape["data"]


def _lower(options: argparse.Namespace, config: Any, stage: str, mesh: Any, images: int) -> Any:
    from msdi_jax.training import ahead_of_time

    if stage != "evaluate":
        return ahead_of_time.lower_step(config, stage, mesh)
    count = images * mesh.shape["data"]
    return ahead_of_time.lower_evaluation(config, count, sides(options.size), mesh)


def _saved(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    return f"optimized program: {file}"


def _as_json(account: "Account") -> dict[str, Any]:
    collectives = account.collectives
    if collectives is not None:
        collectives = {kind: traffic._asdict() for kind, traffic in collectives.items()}
    return dataclasses.asdict(account) | {"collectives": collectives}


def _table(account: "Account", accelerator: Any, stage: str) -> list[str]:
    device = _gigabytes(account.device_bytes)
    fits = f"of {device}: {'fits' if account.fits else 'does not fit'}"
    rows = {
        "arguments": _gigabytes(account.argument_bytes),
        "temporaries": _gigabytes(account.temporary_bytes),
        "total": f"{_gigabytes(account.total_bytes)} {fits}",
        "FLOPs": _scaled(account.flops, 1e12, "T"),
        "bytes accessed": _gigabytes(account.bytes_accessed),
        "collectives": _collectives(account),
        "kernels": _scaled(account.kernels, 1, ""),
        "estimated step time": _scaled(account.estimated_seconds, 1e-3, "ms"),
        "estimated cycles": _scaled(account.estimated_cycles, 1e6, "M"),
        "share of peak": f"{_scaled(account.share_of_peak, 0.01, '%')} of "
        f"{accelerator.peak_flops / 1e12:g} TFLOP/s in bfloat16",
        "compile time": f"{account.compile_seconds:.0f} s on this machine",
    }
    lines = [f"Per device; {NOTE}:", *(f"  {name:21}{value}" for name, value in rows.items())]
    if account.refusal:
        lines.append(f"  {account.refusal}")
    return lines if account.fits else [*lines, f"To make it fit: {_advice(stage)}"]


def _advice(stage: str) -> str:
    if stage == "evaluate":
        return "lower --images-per-device, or split the rows of images with mesh.rows"
    return (
        f"lower {stage}.batch_size, recompute finest levels with remat, split weights and moments "
        "with mesh.shard_state=true, or split the rows of images with mesh.rows"
    )


def _collectives(account: "Account") -> str:
    if not account.collectives:
        return "none" if account.collectives is not None else _scaled(None, 1, "")
    return ", ".join(
        f"{traffic.count} {kind} ({_gigabytes(traffic.bytes)})"
        for kind, traffic in account.collectives.items()
    )


def _gigabytes(value: float | None) -> str:
    return _scaled(value, 1e9, "GB")


def _scaled(value: float | None, unit: float, name: str) -> str:
    if value is None:
        return "not given by the compiler"
    return f"{value / unit:.4g} {name}".rstrip()


def _dearest(text: str, count: int) -> list[str]:
    """Return lines about the instructions with the highest estimates, by the trips of loops."""
    from msdi_jax.runtime.hlo_account import Program

    runs = Program(text).estimated()[:count]
    lines = [f"{'M cycles':>9}{'times':>7}  instruction, type, origin; {NOTE}"]
    for one, times, _ in runs:
        cycles = times * one.cycles / 1e6
        lines.append(f"{cycles:9.3f}{times:7}  {one.name} {one.type} {one.origin}")
    return lines
