"""msdi probe: measure how much the representation holds of blur and of content."""

import argparse
import dataclasses
import hashlib
import zipfile
import zlib
from pathlib import Path

import jax
import numpy as np

from msdi_jax import models
from msdi_jax.cli import model_options
from msdi_jax.cli.paths import path
from msdi_jax.evaluation import test_sets
from msdi_jax.research import probes
from msdi_jax.runtime.atomic_write import atomic_write
from msdi_jax.runtime.json_text import to_json

SET = "camera_shake"


def add_to(commands) -> None:
    parser = commands.add_parser("probe")
    parser.set_defaults(command=run)
    model_options.add_model(parser)
    parser.add_argument(
        "--data",
        type=path,
        help=f"prepared set of {SET}; default: the embedded photographs, prepared in "
        f"./{test_sets.PREPARED}",
    )
    parser.add_argument(
        "--output",
        type=path,
        required=True,
        help="folder to write probe.md, probe.json and adaptivity.png to",
    )


def run(options: argparse.Namespace) -> None:
    network = models.load(models.find(options.model, *models.DIRECTORIES.values()))
    estimator = network.estimator
    directory, train = test_sets.open_prepared(SET, options.data, "train")
    _, test = test_sets.open_prepared(SET, options.data, "test")
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    encoders = {
        "representation": jax.jit(estimator.encoder),
        "random encoder": probes.random_encoder(network),
    }
    key = f"{network.digest} {directory.parent.name}"
    native = network.architecture.native
    splits = [
        _gathered(folder / "features" / f"{name}.npz", key, source, encoders, native)
        for name, source in (("train", train), ("test", test))
    ]
    scores = probes.table(*splits)
    correlations = probes.adaptivity(*splits)
    (folder / "probe.json").write_text(
        to_json(
            {
                "scores": [
                    dict(zip(("features", "probe", "target"), key, strict=True))
                    | dataclasses.asdict(value)
                    for key, value in scores.items()
                ],
                "adaptivity": correlations.tolist(),
            },
            indent=2,
        )
        + "\n"
    )
    text = describe(scores, correlations, len(train), len(test))
    (folder / "probe.md").write_text(text)
    _plot_adaptivity(folder / "adaptivity.png", correlations)
    print(text)


def _cached(file: Path, mark: np.ndarray) -> probes.Split | None:
    """Return the split that `file` holds; None if it is missing, of another model, or damaged."""
    parts: dict[str, dict] = {"features": {}, "targets": {}}
    try:
        # NumPy would not close a damaged file that it opened itself.
        with file.open("rb") as opened, np.load(opened) as stored:
            if not np.array_equal(stored["mark"], mark):
                return None
            for key in stored.files:
                if key != "mark":
                    part, name = key.split("/")
                    parts[part][name] = stored[key]
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError):
        return None
    return probes.Split(**parts)


def _gathered(file: Path, key: str, source, encoders, native: bool) -> probes.Split:
    """Return features and targets, cached in `file` under `key`."""
    mark = np.frombuffer(hashlib.sha256(key.encode()).digest(), np.uint8)
    if (cached := _cached(file, mark)) is not None:
        return cached
    split = probes.gather(source, encoders, native=native)
    file.parent.mkdir(parents=True, exist_ok=True)
    flat = {
        f"{part}/{name}": array
        for part, arrays in vars(split).items()
        for name, array in arrays.items()
    }
    with atomic_write(file) as temporary:
        np.savez(temporary, mark=mark, **flat)
    return split


def describe(scores, correlations: np.ndarray, train: int, test: int) -> str:
    """Return the table in Markdown: test R² with its 95 % interval."""
    targets = list(dict.fromkeys(target for _, _, target in scores))
    lines = [
        f"| features | probe | {' | '.join(targets)} |",
        f"|{'---|' * (2 + len(targets))}",
    ]
    for features, kind in dict.fromkeys(key[:2] for key in scores):
        cells = [scores[features, kind, target] for target in targets]
        row = " | ".join(f"{c.r2:.3f} ({c.low:.3f} … {c.high:.3f})" for c in cells)
        lines.append(f"| {features} | {kind} | {row} |")
    lines += [
        "",
        f"Test R² and its 95 % interval over test images; {train} training pairs, {test} test "
        "pairs of other photographs.",
        "",
        f"Within one image, over {len(correlations)} test images whose blur varies: median "
        f"correlation {np.median(correlations):.2f} of the true path length per cell with the one "
        f"read off the representation, positive in {np.mean(correlations > 0):.0%}.",
    ]
    return "\n".join(lines) + "\n"


def _plot_adaptivity(path: Path, correlations: np.ndarray) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(correlations, bins=np.linspace(-1, 1, 21), color="tab:blue")
    axes.axvline(np.median(correlations), color="tab:orange", label="median")
    axes.set(
        xlabel="correlation within an image: true path length, and the one read off",
        ylabel="test images",
    )
    axes.legend()
    figure.savefig(path, dpi=120)
