"""python -m msdi_jax evaluate: a model's row of the table, or that of any method's images."""

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msdi_jax import models, report
from msdi_jax.cli import model_options
from msdi_jax.evaluation import aggregate, best_worst, protocols, reported_results, test_sets
from msdi_jax.evaluation.evaluate import measure, pictures_of, restoration_settings, score
from msdi_jax.evaluation.results_file import Measurements
from msdi_jax.networks import local_statistics
from msdi_jax.restoration import image_io, restore
from msdi_jax.runtime import directory_lock
from msdi_jax.runtime.atomic_write import atomic_write

RESTORE = "grid"


class Subject(NamedTuple):
    """What is measured.

    Attributes:
        header: what its figures depend on, beside the pairs and the protocols.
        about: what else its row tells.
        row: from the index of a record to its figures.
        pictures: from the index of a record to its 8-bit pictures.
        network: as in `models.Description`, or "".
    """

    header: dict[str, str]
    about: dict[str, Any]
    row: Callable[[int], dict]
    pictures: Callable[[int], Mapping[str, np.ndarray]]
    network: str = ""


def add_to(commands) -> None:
    parser = commands.add_parser(
        "evaluate", help="measure a model, or a folder of any method's images, on a data set"
    )
    parser.set_defaults(command=run)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", help="model directory")
    what.add_argument("--outputs", help="folder of restored images, named as the set's records")
    parser.add_argument("--dataset", help="folder of data/")
    parser.add_argument("--data", help=f"prepared set; default: prepared in ./{test_sets.PREPARED}")
    parser.add_argument("--split", default="test", help="default: %(default)s")
    parser.add_argument("--sharp", help="instead of --dataset: folder of the sharp images")
    parser.add_argument("--blurry", help="beside --sharp: folder of the blurry images")
    parser.add_argument(
        "--protocol",
        nargs="+",
        choices=protocols.PROTOCOLS,
        default=protocols.DEFAULT,
        help=f"how results are scored; default: {' '.join(protocols.DEFAULT)}",
    )
    parser.add_argument(
        "--restore",
        choices=restore.MODES,
        help="how a model restores: in tiles of the published evaluation, or in one piece; "
        f"default: {RESTORE}",
    )
    model_options.add_to(parser)
    parser.add_argument(
        "--output", help="folder for per_image.csv and row.json; default: beside what is measured"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count(),
        help="images scored at once with --outputs; default: one per core",
    )


def run(options: argparse.Namespace) -> None:
    _check(options)
    scoring = [name for name in protocols.PROTOCOLS if name in options.protocol]
    compared, source = _open(options)
    names, sizes = test_sets.describe(source)
    if options.outputs:
        files = test_sets.match(Path(options.outputs), names, sizes)
        subject = _outputs(Path(options.outputs), source, names, files, scoring)
    else:
        network = model_options.as_asked(models.load(options.model), options)
        restoration = options.restore or RESTORE
        subject = _model(network, options.model, source, restoration, scoring)
    header = subject.header | compared | {"images": len(source), "protocols": scoring}
    target = _target(options, compared)
    with directory_lock.alone_in(target):
        measurements = Measurements(target, header)
        rows = measurements.complete(names, subject.row, options.workers if options.outputs else 1)
        record = (
            header | subject.about | aggregate.means(rows) | {"deciles": aggregate.deciles(rows)}
        )
        published = _published(subject.network, compared)
        record["published"] = published and published._asdict()
        record["extremes"] = best_worst.write(
            target / "samples" / "extremes", rows, subject.pictures
        )
        _write_json(target / "row.json", record)
        print(describe_row(record, published))
        print(f"per image: {measurements.file}\nreport: {report.write_report(target)}")


def _check(options: argparse.Namespace) -> None:
    if bool(options.dataset) == bool(options.sharp):
        raise ValueError("give either --dataset or --sharp, to tell what to compare with")
    if options.sharp and options.data:
        raise ValueError("--data goes with --dataset: --sharp is a folder of images already")
    if options.blurry and not options.sharp:
        raise ValueError("--blurry goes with --sharp: a --dataset has its own blurry images")
    if options.model and options.sharp and not options.blurry:
        raise ValueError("--model needs images to restore: give --blurry beside --sharp")
    if options.outputs:
        for name in ["restore"] * bool(options.restore) + [*model_options.asked(options)]:
            raise ValueError(f"--{name} is for a --model: --outputs are restored already")
    if options.workers < 1:
        raise ValueError(f"--workers {options.workers}: at least 1 is needed")
    local_statistics.check(options.window or 0, "--window")
    # Before the data, whose preparation may take longer.
    if (
        options.model
        and (network := models.read_description(options.model).network) not in models.DEBLURRING
    ):
        raise ValueError(
            f"{options.model} holds a {network} model, which deblurs nothing: give one of "
            f"{', '.join(models.DEBLURRING)}"
        )


def _open(options: argparse.Namespace) -> tuple[dict[str, str], Sequence[Mapping]]:
    """What tells the pairs apart, and the pairs."""
    if options.sharp:
        source = test_sets.FolderPairs(*(Path(p) for p in (options.sharp, options.blurry) if p))
        folder = Path(options.sharp).resolve()
        named = {"dataset": f"{folder.parent.name}/{folder.name}", "split": ""}
        return named | {"pairs": source.digest()}, source
    directory, source = test_sets.open_prepared(options.dataset, options.data, options.split)
    named = {
        "dataset": options.dataset,
        "configuration": test_sets.configuration(directory),
        "split": options.split,
    }
    return named, source


def _outputs(
    folder: Path,
    source: Sequence[Mapping],
    names: Sequence[str],
    files: Mapping[str, Path],
    scoring: Sequence[str],
) -> Subject:
    """Any method's images, already matched with the records."""

    def pictures(index: int, record: Mapping | None = None) -> dict[str, np.ndarray]:
        record = source[index] if record is None else record
        found = {key: np.asarray(record[key]) for key in ("blurry", "sharp") if key in record}
        return found | {"deblurred": image_io.read(files[names[index]])}

    def row(index: int) -> dict:
        record = source[index]
        named = {"name": names[index], "photograph": test_sets.text(record, "photograph")}
        return named | score(pictures(index, record), scoring)

    header = {"outputs": test_sets.digest(files.values())}
    return Subject(header, {"method": folder.resolve().name}, row, pictures)


def _model(
    network: models.Model,
    directory: str,
    source: Sequence[Mapping],
    restoration: str,
    scoring: Sequence[str],
) -> Subject:
    description = network.description
    return Subject(
        {"model": network.digest} | restoration_settings(restoration, network),
        {
            "method": f"{description.architecture.kind}, width {description.architecture.width}",
            "config": _config_of_run(models.find(directory)),
            # Which of a run's models it is, by the name of its directory.
            "weights": models.find(directory).resolve().name,
        },
        lambda index: measure(source[index], network, None, restoration, scoring)[0],
        lambda index: pictures_of(source[index], network, restoration),
        description.architecture.kind,
    )


def _config_of_run(directory: Path) -> dict | None:
    """Of the run that trained the model: in a table, it tells seeds from other differences."""
    file = directory.resolve().parent / "config.json"
    return json.loads(file.read_text()) if file.exists() else None


def _target(options: argparse.Namespace, compared: dict[str, str]) -> Path:
    if options.output:
        return Path(options.output)
    measured = Path(options.outputs or options.model).resolve()
    if options.model:
        measured = models.find(measured)
    parts = [measured.name, compared["dataset"].replace("/", "-"), compared["split"]]
    if options.model:
        parts.append(options.restore or RESTORE)
        parts += [f"{name}{value}" for name, value in model_options.asked(options).items()]
    return measured.parent / "evaluation" / "-".join(filter(None, parts))


def _published(network: str, compared: dict[str, str]) -> reported_results.PublishedRow | None:
    if compared["split"] != "test":
        return None
    return reported_results.find(network, compared["dataset"], compared["configuration"])


def describe_row(record: dict, published: reported_results.PublishedRow | None) -> str:
    """The row for people; never a figure called just "SSIM"."""
    lines = [
        f"{record['method']}, on {' '.join(filter(None, (record['dataset'], record['split'])))}, "
        f"{record['images']} images"
        + (f", restored: {restored}" if (restored := aggregate.restored(record)) else "")
        + f", scored: {', '.join(record['protocols'])}",
    ]
    kinds = [kind for kind in aggregate.KINDS if aggregate.psnr_key(record, kind)]
    lines.append(_line("", *kinds))
    for figure, values in aggregate.measured(record):
        label, digits = protocols.FIGURES[figure]
        lines.append(_line(label, *(_number(v, digits) for v in values if v is not None)))
    for kind in kinds:
        if (failed := record.get(f"{protocols.FAILED}_{kind}")) is not None:
            lines.append(f"alignment failed on {failed} of {record['images']} {kind} images")
    lines += _decile_lines(record["deciles"]) + _published_lines(record, published)
    return "\n".join(lines)


def _decile_lines(deciles: dict | None) -> list[str]:
    if deciles is None:
        return []
    parts = ("blurriest", "sharpest", "all")
    lines = ["", f"{deciles['images']} blurriest and sharpest images, deblurred", _line("", *parts)]
    for figure, _ in aggregate.measured(deciles["all"]):
        label, digits = protocols.FIGURES[figure]
        values = [deciles[part].get(f"{figure}_deblurred") for part in parts]
        lines.append(_line(label, *(_number(value, digits) for value in values)))
    return [*lines, deciles["note"]]


def _published_lines(record: dict, published: reported_results.PublishedRow | None) -> list[str]:
    if published is None:
        return ["", "published: no figure for this on this set"]
    told = f"published: PSNR {published.psnr:.2f} dB, SSIM {published.ssim:.3f}"
    psnr, ssim = (record.get(f"{f}_deblurred") for f in reported_results.MEANT[published.dataset])
    if psnr is None:
        meant = reported_results.PROTOCOL[published.dataset]
        told += f"; scored here by other protocols, so no difference: give --protocol {meant}"
    else:
        told += f"; difference {psnr - published.psnr:+.2f} dB"
    if ssim is not None:
        told += f", {ssim - published.ssim:+.4f}"
    where = f"{published.dataset}, {reported_results.IMAGES[published.dataset]} images"
    return ["", told, f"({published.method} on {where}, restored: grid; {published.source})"]


def _line(label: str, *values: str) -> str:
    return f"{label:20}" + "".join(f"{value:>11}" for value in values)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _write_json(path: Path, record: dict) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
