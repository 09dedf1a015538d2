"""python -m msdi_jax evaluate: metrics of a model, or of any method's images, on a data set."""

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from msdi_jax import models, report
from msdi_jax.cli import model_options
from msdi_jax.cli.paths import path
from msdi_jax.data.paired.name_template import PLACE
from msdi_jax.evaluation import folders, protocols, reported_results, results_file, test_sets
from msdi_jax.evaluation.evaluate import (
    Subject,
    check_sizes,
    evaluate,
    model_subject,
    outputs_subject,
)
from msdi_jax.evaluation.results_text import results_text
from msdi_jax.evaluation.test_sets import Pairs
from msdi_jax.networks import local_statistics
from msdi_jax.restoration import restore
from msdi_jax.runtime import directory_lock

RESTORE = "grid"


def add_to(commands) -> None:
    parser = commands.add_parser(
        "evaluate", help="measure a model, or a folder of any method's images, on a data set"
    )
    parser.set_defaults(command=run)
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--model", type=path, help="model directory")
    subject.add_argument(
        "--outputs", type=path, help="folder of restored images, named as the set's records"
    )
    parser.add_argument("--dataset", help="folder of data/")
    parser.add_argument(
        "--data", type=path, help=f"prepared set; default: prepared in ./{test_sets.PREPARED}"
    )
    parser.add_argument("--split", default="test", help="default: %(default)s")
    parser.add_argument(
        "--sharp", type=path, help="instead of --dataset: folder of the sharp images"
    )
    parser.add_argument("--blurry", type=path, help="with --sharp: folder of the blurry images")
    for kind in ("sharp", "blurry", "outputs"):
        parser.add_argument(
            f"--{kind}-template",
            metavar="TEMPLATE",
            help=f"names of the files of --{kind} without suffix, with {{}} for the name of the "
            "pair; default: equal names",
        )
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
        "--output",
        type=path,
        help=f"folder for {results_file.NAME}, {results_file.ROWS}, pictures and report.html; "
        "default: next to the model or the outputs",
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
    pairs = _pairs(options)
    # Before the model, whose loading takes longer.
    check_sizes(pairs, scoring)
    subject, architecture, details = _subject(options, pairs)
    folder = _target(options, pairs)
    with directory_lock.alone_in(folder):
        evaluation = evaluate(subject, pairs, folder, scoring=scoring)
        reported = reported_results.reported_row(architecture, evaluation.settings)
        evaluation = dataclasses.replace(
            evaluation, **details, reported=reported and reported._asdict()
        )
        results_file.write(folder, evaluation)
        print(results_text(evaluation))
        print(f"per image: {folder / results_file.ROWS}\nreport: {report.write_report(folder)}")


def _check(options: argparse.Namespace) -> None:
    if bool(options.dataset) == bool(options.sharp):
        raise ValueError("give either --dataset or --sharp, the images to compare with")
    if options.sharp and options.data:
        raise ValueError("--data goes with --dataset: --sharp is a folder of images already")
    if options.blurry and not options.sharp:
        raise ValueError("--blurry goes with --sharp: a --dataset has its own blurry images")
    if options.model and options.sharp and not options.blurry:
        raise ValueError("--model needs images to restore: give --blurry with --sharp")
    for kind in ("sharp", "blurry", "outputs"):
        if getattr(options, f"{kind}_template") and not getattr(options, kind):
            raise ValueError(f"--{kind}-template goes with --{kind}: give both or none")
    if options.outputs:
        for name in ["restore"] * bool(options.restore) + [*model_options.asked(options)]:
            raise ValueError(f"--{name} is for a --model: --outputs are restored already")
    if options.workers < 1:
        raise ValueError(f"--workers {options.workers}: at least 1 is needed")
    if options.output and (options.output / "config.json").exists():
        raise ValueError(f"--output {options.output} is a run directory: choose another folder")
    local_statistics.check(options.window or 0, "--window")
    # Before the data, whose preparation may take longer.
    if options.model:
        _check_deblurs(options.model)


def _check_deblurs(model: Path) -> None:
    kind = models.read_description(model).architecture.kind
    if kind not in models.DEBLURRING:
        raise ValueError(
            f"{model} holds a {kind} model, which cannot deblur: give one of "
            f"{', '.join(models.DEBLURRING)}"
        )


def _pairs(options: argparse.Namespace) -> Pairs:
    if options.sharp:
        given = {kind: getattr(options, f"{kind}_template") for kind in ("blurry", "sharp")}
        templates = {kind: value or PLACE for kind, value in given.items()}
        return folders.folder_pairs(
            options.sharp, options.blurry, templates if any(given.values()) else None
        )
    directory, source = test_sets.open_prepared(options.dataset, options.data, options.split)
    configuration = test_sets.configuration(directory)
    return test_sets.prepared_pairs(source, options.dataset, configuration, options.split)


def _subject(
    options: argparse.Namespace, pairs: Pairs
) -> tuple[Subject, models.Architecture | None, dict[str, Any]]:
    """The subject, its network (None for outputs), and fields of `Evaluation` about it."""
    if options.outputs:
        subject = outputs_subject(options.outputs, pairs, options.workers, options.outputs_template)
        return subject, None, {"method": options.outputs.resolve().name}
    network = model_options.as_asked(models.load(options.model), options)
    description = network.description
    directory = models.find(options.model).resolve()
    details = {
        "method": f"{description.architecture.kind}, width {description.architecture.width}",
        "weights": directory.name,
        "config": _config_of_run(directory),
        "provenance": description.provenance,
    }
    subject = model_subject(network, restoration=options.restore or RESTORE)
    return subject, description.architecture, details


def _config_of_run(directory: Path) -> dict | None:
    """The configuration of the run that trained the model: by it, a table groups seeds."""
    file = directory.parent / "config.json"
    return json.loads(file.read_text()) if file.exists() else None


def _target(options: argparse.Namespace, pairs: Pairs) -> Path:
    if options.output:
        return options.output
    measured = (options.outputs or options.model).resolve()
    if options.model:
        measured = models.find(measured)
    parts = [measured.name, pairs.identity["dataset"].replace("/", "-"), pairs.identity["split"]]
    if options.model:
        parts.append(options.restore or RESTORE)
        parts += [f"{name}{value}" for name, value in model_options.asked(options).items()]
    return measured.parent / "evaluation" / "-".join(filter(None, parts))
