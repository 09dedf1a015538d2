"""python -m msdi_jax evaluate: metrics of a model, or of any method's images, on a data set."""

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging

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
from msdi_jax.training import run_directory

RESTORE = "grid"


class Run(NamedTuple):
    """The run directory that a model is in, and its configuration."""

    directory: Path
    config: dict[str, Any]


def add_to(commands) -> None:
    parser = commands.add_parser(
        "evaluate", help="measure a model, or a folder of any method's images, on a data set"
    )
    parser.set_defaults(command=run)
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--model", type=path, help="model or run directory")
    subject.add_argument(
        "--outputs", type=path, help="folder of restored images, named as the set's records"
    )
    parser.add_argument(
        "--dataset", help="folder of data/; default for the model of a run: the run's own set"
    )
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
        help="how results are scored; default: as the model's run, else "
        f"{' '.join(protocols.DEFAULT)}",
    )
    parser.add_argument(
        "--restore",
        choices=restore.MODES,
        help="how a model restores: in tiles of the published evaluation, or in one piece; "
        f"default: as the model's run, else {RESTORE}",
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
    # tfds logs its inner workings.
    logging.set_verbosity(logging.FATAL)
    trained = _run_of(options.model) if options.model else None
    _check(options, trained)
    _fill_in(options, trained)
    scoring = [name for name in protocols.PROTOCOLS if name in options.protocol]
    pairs = _pairs(options, trained)
    # Before the model, whose loading takes longer.
    check_sizes(pairs, scoring)
    subject, architecture, details = _subject(options, pairs, trained)
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


def _run_of(model: Path) -> Run | None:
    directory = models.find(model).resolve().parent
    file = directory / "config.json"
    return Run(directory, json.loads(file.read_text())) if file.exists() else None


def _check(options: argparse.Namespace, trained: Run | None) -> None:
    named = bool(options.dataset) + bool(options.sharp)
    if named == 2 or not (named or options.model):
        raise ValueError("give either --dataset or --sharp, the images to compare with")
    if options.data and not options.dataset:
        raise ValueError("--data goes with --dataset: name the set that it holds")
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
    if not (named or trained):
        raise ValueError(
            f"{options.model} is not the model of a run, which has a data set of its own: name a "
            "set by --dataset, or give images by --sharp and --blurry"
        )


def _check_deblurs(model: Path) -> None:
    kind = models.read_description(model).architecture.kind
    if kind not in models.DEBLURRING:
        raise ValueError(
            f"{model} holds a {kind} model, which cannot deblur: give one of "
            f"{', '.join(models.DEBLURRING)}"
        )


def _fill_in(options: argparse.Namespace, trained: Run | None) -> None:
    """Set the options left out to what the evaluation at the end of the run used."""
    settings = trained.config["evaluation"] if trained else {}
    options.protocol = options.protocol or settings.get("protocols", protocols.DEFAULT)
    if options.model:
        options.restore = options.restore or settings.get("restore", RESTORE)


def _pairs(options: argparse.Namespace, trained: Run | None) -> Pairs:
    if options.sharp:
        given = {kind: getattr(options, f"{kind}_template") for kind in ("blurry", "sharp")}
        templates = {kind: value or PLACE for kind, value in given.items()}
        return folders.folder_pairs(
            options.sharp, options.blurry, templates if any(given.values()) else None
        )
    if options.dataset:
        name = options.dataset
        directory, source = test_sets.open_prepared(name, options.data, options.split)
    else:
        name = trained.config["dataset"]["name"]
        directory, source = test_sets.open_configured(trained.config["dataset"], options.split)
    configuration = test_sets.configuration(directory)
    if trained and name == trained.config["dataset"]["name"]:
        _compare_sets(name, configuration, trained, is_named=bool(options.dataset))
    return test_sets.prepared_pairs(source, name, configuration, options.split)


def _compare_sets(name: str, configuration: str, trained: Run, *, is_named: bool) -> None:
    """Refuse a set that is no longer the one of the run; only note it if it was asked for."""
    before = run_directory.recorded_set(trained.directory)
    if before in ("", configuration):
        return
    if is_named:
        print(
            f"note: the set of {trained.directory} is {name} ({before}): leave out --dataset to "
            "measure on it"
        )
        return
    raise ValueError(
        f"{trained.directory} was trained on {name} ({before}), but its configuration now gives "
        f"{name} ({configuration}): restore the images that were changed, added or removed, or "
        "name a set by --dataset"
    )


def _subject(
    options: argparse.Namespace, pairs: Pairs, trained: Run | None
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
        # A table groups seeds by it.
        "config": trained and trained.config,
        "provenance": description.provenance,
    }
    subject = model_subject(network, restoration=options.restore)
    return subject, description.architecture, details


def _target(options: argparse.Namespace, pairs: Pairs) -> Path:
    if options.output:
        return options.output
    measured = (options.outputs or options.model).resolve()
    if options.model:
        measured = models.find(measured)
    parts = [measured.name, pairs.identity["dataset"].replace("/", "-"), pairs.identity["split"]]
    if options.model:
        parts.append(options.restore)
        parts += [f"{name}{value}" for name, value in model_options.asked(options).items()]
    return measured.parent / "evaluation" / "-".join(filter(None, parts))
