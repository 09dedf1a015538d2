"""msdi train: train and evaluate what a configuration describes."""

import argparse
import shlex
import signal
import traceback
from typing import Any

from absl import logging

from msdi_jax.cli import experiment
from msdi_jax.cli.paths import path

EPILOG = """\
examples:
  msdi train --config quickstart --workdir runs/quickstart
  msdi train --config ablation:no_degradation --workdir runs/ablation --config.seed=1
  msdi train --config my_experiment.py --workdir runs/mine --config.width=16

Repeating the command resumes the run.
"""


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "train",
        usage="msdi train --config NAME --workdir DIRECTORY [--config.FIELD=VALUE ...]",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run, overrides=[])
    parser.add_argument(
        "--config",
        required=True,
        metavar="NAME[:VARIANT]",
        help="name of a shipped configuration, or path of a file like those in configs/; "
        "--config.FIELD=VALUE changes a field of it",
    )
    parser.add_argument(
        "--workdir",
        required=True,
        metavar="DIRECTORY",
        type=path,
        help="run directory; created, or resumed if it exists",
    )
    parser.add_argument(
        "--help-config",
        nargs="?",
        metavar="NAME",
        action=_HelpConfig,
        help="print every field with its default and exit; NAME: those of one configuration",
    )
    hosts = parser.add_argument_group("several processes", "none of these on SLURM and TPU pods")
    hosts.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0")
    hosts.add_argument("--num_processes", type=int, metavar="N", help="number of processes")
    hosts.add_argument("--process_id", type=int, metavar="I", help="this process, from 0 to N - 1")


class _HelpConfig(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        from msdi_jax.configs import describe

        try:
            print(describe.format_help(experiment.load(values or "base")))
        except ValueError as error:
            parser.exit(1, f"error: {error}\n")
        parser.exit()


def run(options: argparse.Namespace) -> None:
    """Train and evaluate; errors end every process of the run with one message.

    Raises:
        ValueError: for an unusable --config or --config.FIELD=VALUE, before JAX is loaded.
    """
    config = experiment.load(options.config, options.overrides)
    # orbax and tfds log their inner workings, and errors that are reported below once more.
    logging.set_verbosity(logging.FATAL)
    # Outside of a training loop, which would save first, SIGTERM and Ctrl-C are the same.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Imported here, to refuse a configuration at once.
    import jax

    from msdi_jax.runtime import processes
    from msdi_jax.training.loop import Interrupted
    from msdi_jax.training.run import run
    from msdi_jax.training.run_directory import MoreStepsError

    try:
        processes.start(options.coordinator, options.process_id, options.num_processes)
        run(config, options.workdir)
    except Interrupted as stop:
        processes.print_once(f"saved at step {stop.step}: resume with the same command")
    except KeyboardInterrupt:
        processes.abort("stopped: the same command resumes from the last checkpoint")
    except OSError as error:
        processes.abort(f"error: {error} (in {options.workdir}): fix that and repeat the command")
    except MoreStepsError as error:
        processes.abort(f"error: {error.text(lambda next_run: _command(options, next_run))}")
    except ValueError as error:
        processes.abort(f"error: {error}")
    except jax.errors.JaxRuntimeError as error:
        if processes.alone():
            raise
        # This is mostly how a process notices that another one has ended.
        first_line = str(error).strip().splitlines()[0]
        where = f"process {jax.process_index()} of {jax.process_count()}"
        processes.abort(
            f"error: {where}: {first_line}; if another process ended, start all of them again"
        )
    except Exception:
        if processes.alone():
            raise
        processes.abort(traceback.format_exc())


def _command(options: argparse.Namespace, next_run: Any) -> str:
    """Return this command with the run directory and the fields of a `NextRun`."""
    fields = [f"--config.{field}={value}" for field, value in next_run.fields.items()]
    names = {field.partition("=")[0] for field in fields}
    kept = [text for text in options.overrides if text.partition("=")[0] not in names]
    hosts = [
        f"--{name}={value}"
        for name in ("coordinator", "num_processes", "process_id")
        if (value := getattr(options, name)) is not None
    ]
    where = [f"--config={options.config}", f"--workdir={next_run.workdir}"]
    return shlex.join(["msdi", "train", *where, *kept, *fields, *hosts])
