"""python -m msdi_jax evaluate: a model's row of the table, beside the published one."""

import argparse
import hashlib
import importlib
import inspect
import json
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from msdi_jax import model, published_rows, restore
from msdi_jax.evaluate import measure, text
from msdi_jax.measurements import Measurements
from msdi_jax.state import arrays_of

# Where `launch.py` prepares data sets too.
PREPARED = "prepared"


def add_to(commands) -> None:
    parser = commands.add_parser("evaluate", help="measure a model on a data set")
    parser.set_defaults(command=run)
    parser.add_argument("--model", required=True, help="model directory")
    parser.add_argument("--dataset", required=True, help="folder of data/")
    parser.add_argument("--data", help=f"prepared set; default: prepared in ./{PREPARED}")
    parser.add_argument("--split", default="test", help="default: %(default)s")
    parser.add_argument(
        "--protocol",
        choices=restore.MODES,
        default="grid",
        help="tiles of the published evaluation, or images in one piece; default: %(default)s",
    )
    parser.add_argument(
        "--output", help="folder for per_image.csv and row.json; default: beside the model"
    )


def run(options: argparse.Namespace) -> None:
    description = model.describe(options.model)
    if description.network not in model.DEBLURRING:
        raise ValueError(
            f"{options.model} holds a {description.network} model, which deblurs nothing: give "
            f"one of {', '.join(model.DEBLURRING)}"
        )
    directory, source = open_data(options.dataset, options.data, options.split)
    network = model.load(options.model)
    header = {
        "model": digest(network),
        "dataset": options.dataset,
        # tfds's folders: set/configuration/version.
        "configuration": directory.parent.name,
        "split": options.split,
        "images": len(source),
        "protocol": options.protocol,
    }
    rows = measure_all(source, network, Measurements(_output(options), header))
    means = _means(rows)
    published = None
    if options.split == "test":
        configuration = header["configuration"]
        published = published_rows.find(description.network, options.dataset, configuration)
    record = {**header, **means, "published": published and published._asdict()}
    _write_json(_output(options) / "row.json", record)
    print(describe_row(record, description, published))
    print(f"per image: {_output(options) / 'per_image.csv'}")


def _output(options: argparse.Namespace) -> Path:
    if options.output:
        return Path(options.output)
    path = Path(options.model).resolve()
    name = f"{path.name}-{options.dataset}-{options.split}-{options.protocol}"
    return path.parent / "evaluation" / name


def open_data(name: str, directory: str | None, split: str):
    """Where a set of data/NAME is, and its records.

    Raises:
        ValueError: for an unknown name, naming those there are, and for what is no such set.
    """
    try:
        folder = Path(importlib.import_module("data").__file__).parent
    except (ModuleNotFoundError, TypeError) as error:
        raise ValueError("there is no data/ here: run this in the repository's folder") from error
    known = sorted(p.parent.name for p in folder.glob("*/*_dataset_builder.py"))
    if name not in known:
        raise ValueError(f"--dataset {name!r}: data/ has {', '.join(known)}")
    builder = importlib.import_module(f"data.{name}.{name}_dataset_builder")
    path = Path(directory).expanduser() if directory else _prepare(name, builder)
    source = builder.open_split(path, split)
    if len(source) == 0:
        raise ValueError(f"split {split!r} of {path} is empty: choose another --split")
    return path, source


def _prepare(name: str, builder) -> Path:
    try:
        inspect.signature(builder.prepare).bind(PREPARED)
    except TypeError as error:
        raise ValueError(
            f"data/{name} cannot be prepared without more ({error}): prepare it, and give its "
            "directory by --data"
        ) from error
    return Path(builder.prepare(PREPARED))


def digest(network: model.Model) -> str:
    """What tells models apart: the kind of network and all of its numbers."""
    found = hashlib.sha256(network.description.network.encode())
    for path, array in jax.tree.leaves_with_path(arrays_of(network.network)):
        found.update(jax.tree_util.keystr(path).encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def measure_all(source, network: model.Model, measurements: Measurements) -> list[dict]:
    """The rows of every record, in the order of the source; those measured before are kept."""
    protocol, names = measurements.header["protocol"], []
    kept = len(measurements.rows)
    if kept:
        print(f"{measurements.file}: {kept} of {len(source)} images were measured before")
    for index in tqdm(range(len(source)), desc="evaluate", unit="image"):
        record = source[index]
        name = text(record, "name")
        if name in names:
            raise ValueError(f"record {index} is another one named {name!r}: make names unique")
        names.append(name)
        if name not in measurements.rows:
            measurements.add(measure(record, network, protocol=protocol)[0])
    return [measurements.rows[name] for name in names]


def _means(rows: list[dict]) -> dict[str, float]:
    keys = [key for key in rows[0] if key not in ("name", "photograph")]
    return {key: float(np.mean([row[key] for row in rows])) for key in keys}


def describe_row(record: dict, description, published) -> str:
    """The row for people; never a figure called just "SSIM"."""
    title = (
        f"{description.network}, width {description.width}, on {record['dataset']} "
        f"{record['split']}, {record['images']} images, protocol {record['protocol']}"
    )
    lines = [title, f"{'':16}{'PSNR dB':>10}{'ssim_3d':>10}{'ssim':>10}"]
    for label, kind in (("blurry", "blurry"), ("our reading", "deblurred")):
        psnr, volume, channel = (record[f"{m}_{kind}"] for m in ("psnr", "ssim_3d", "ssim"))
        lines.append(f"{label:16}{psnr:10.2f}{volume:10.4f}{channel:10.4f}")
    if published is None:
        return "\n".join([*lines, "published: no figure for this network on this set"])
    psnr, volume = published.psnr, published.ssim_3d
    lines.append(f"{'published':16}{psnr:10.2f}{volume:10.3f}{'–':>10}")
    ours = record["psnr_deblurred"] - psnr, record["ssim_3d_deblurred"] - volume
    lines.append(f"{'difference':16}{ours[0]:+10.2f}{ours[1]:+10.4f}{'–':>10}")
    lines.append(
        f"published: {published.network}, width {published.width}, on {published.dataset} test, "
        f"{published.images} images, protocol {published.protocol} ({published.source})"
    )
    return "\n".join(lines)


def _write_json(path: Path, record: dict) -> None:
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    temporary.replace(path)
