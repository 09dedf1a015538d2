"""Trains and evaluates what a configuration says.

    python launch.py --config configs/quickstart.py --workdir runs/quickstart
    python launch.py --config configs/quickstart.py --workdir runs/wide --config.width=16

Repeating the command goes on where it stopped. On several hosts, with a run directory that all of
them see, run on each:

    python launch.py --config … --workdir … --coordinator=HOST:PORT --num_processes=N --process_id=I
"""

import signal
import sys
import traceback
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from msdi_jax.runtime import processes
from msdi_jax.runtime.compilation import keep_programs
from msdi_jax.training import loop, run

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment, a file in configs/.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run directory: made, or gone on with.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, "Process 0's HOST:PORT, of several.")
_PROCESS = flags.DEFINE_integer("process_id", None, "Number of this process.")
_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes.")


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    # orbax and tfds tell their inner workings, and errors of theirs that end up below once more.
    logging.set_verbosity(logging.FATAL)
    # Where no step is under way that would have to be saved, both ask for the same.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        processes.start(_COORDINATOR.value, _PROCESS.value, _PROCESSES.value)
        run.run(_CONFIG.value, Path(_WORKDIR.value))
    except loop.Interrupted as stop:
        processes.print_once(f"saved at step {stop.step}: resume with the same command")
    except KeyboardInterrupt:
        processes.abort("stopped: the same command goes on from the last checkpoint")
    except OSError as error:
        processes.abort(f"error: {error} (in {_WORKDIR.value}): mend that and repeat the command")
    except ValueError as error:
        processes.abort(f"error: {error}")
    except jax.errors.JaxRuntimeError as error:
        if processes.alone():
            raise
        # What a process mostly sees of another one's end.
        told = f"process {jax.process_index()} of {jax.process_count()}: {_first_line(error)}"
        processes.abort(f"error: {told}; if another process ended, start all of them again")
    except Exception:
        if processes.alone():
            raise
        processes.abort(traceback.format_exc())


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def parse(arguments: list[str]) -> list[str]:
    """absl's parser; what a configuration lacks is an error like any other."""
    try:
        left = app.parse_flags_with_usage(arguments)
        # Whether the file could be loaded is told no earlier.
        _ = _CONFIG.value.stages
    except (AttributeError, KeyError) as error:
        if "'get_config'" in str(error):
            sys.exit("error: --config has no function get_config: give a file like configs/*.py")
        sys.exit(f"error: no such field in the configuration: {_sentence(error)}")
    except OSError as error:
        sys.exit(f"error: --config cannot be loaded: {str(error).splitlines()[-1].strip()}")
    return left


def _sentence(error: Exception) -> str:
    return str(error).strip("\"'").replace("\\'", "").replace("\\n", ": ")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    processes.print_anywhere()
    keep_programs()
    app.run(main, flags_parser=parse)
