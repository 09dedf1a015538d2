"""python -m msdi_jax probe: what of blur and of content a representation holds."""

import argparse
import dataclasses
import hashlib
import json
import zipfile
import zlib
from pathlib import Path

import jax
import numpy as np

from msdi_jax import models
from msdi_jax.evaluation import test_sets
from msdi_jax.research import probes
from msdi_jax.runtime.atomic_write import atomic_write

SET = "camera_shake"


def add_to(commands) -> None:
    parser = commands.add_parser(
        "probe", help="read motion and content off the representation, with controls beside it"
    )
    parser.set_defaults(command=run)
    parser.add_argument(
        "--model", default=models.BUNDLED, help="model or run directory; default: the box"
    )
    parser.add_argument(
        "--data",
        help=f"prepared set of data/{SET}; default: the embedded one, prepared in "
        f"./{test_sets.PREPARED}",
    )
    parser.add_argument(
        "--output", required=True, help="folder to write probe.md, probe.json and adaptivity.png to"
    )


def run(options: argparse.Namespace) -> None:
    found = models.load(models.find(options.model, *models.DIRECTORIES.values()))
    estimator = found.estimator
    directory, train = test_sets.open_prepared(SET, options.data, "train")
    _, test = test_sets.open_prepared(SET, options.data, "test")
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    encoders = {
        "representation": jax.jit(estimator.encoder),
        "random encoder": probes.random_encoder(found),
    }
    kept = f"{found.digest} {directory.parent.name}"
    native = found.architecture.native
    splits = [
        _gathered(folder / "features" / f"{name}.npz", kept, source, encoders, native)
        for name, source in (("train", train), ("test", test))
    ]
    scores = probes.table(*splits)
    correlations = probes.adaptivity(*splits)
    (folder / "probe.json").write_text(
        json.dumps(
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


def _kept(file: Path, mark: np.ndarray) -> probes.Split | None:
    """What `file` holds; None when that is nothing, another model's, or damaged."""
    parts: dict[str, dict] = {"features": {}, "targets": {}}
    try:
        # NumPy leaves a damaged file open that it opened itself.
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


def _gathered(file: Path, kept: str, source, encoders, native: bool) -> probes.Split:
    """Features and targets, kept in `file` for the next time with the same model and set."""
    mark = np.frombuffer(hashlib.sha256(kept.encode()).digest(), np.uint8)
    if (found := _kept(file, mark)) is not None:
        return found
    found = probes.gather(source, encoders, native=native)
    file.parent.mkdir(parents=True, exist_ok=True)
    flat = {
        f"{part}/{name}": array
        for part, arrays in vars(found).items()
        for name, array in arrays.items()
    }
    with atomic_write(file) as temporary:
        np.savez(temporary, mark=mark, **flat)
    return found


def describe(scores, correlations: np.ndarray, train: int, test: int) -> str:
    """The table in Markdown: test R² with its 95 % interval."""
    targets = list(dict.fromkeys(target for _, _, target in scores))
    lines = [
        f"| features | probe | {' | '.join(targets)} |",
        f"|{'---|' * (2 + len(targets))}",
    ]
    for features, kind in dict.fromkeys(key[:2] for key in scores):
        cells = [scores[features, kind, target] for target in targets]
        told = " | ".join(f"{c.r2:.3f} ({c.low:.3f} … {c.high:.3f})" for c in cells)
        lines.append(f"| {features} | {kind} | {told} |")
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
