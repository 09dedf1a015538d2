"""The `msdi` command: files in, files out."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import msdi_jax

# Module of msdi_jax.cli → the commands that it adds, each with one line of help. Only the module
# of the command that runs is imported: JAX takes seconds to load.
MODULES = {
    "deblur": {"deblur": "restore photographs of any size"},
    "train": {"train": "train and evaluate what a configuration describes"},
    "evaluate": {"evaluate": "measure a model, or any method's images, on a data set"},
    "table": {"table": "merge evaluations into one table"},
    "report": {"report": "write the report.html of a run again"},
    "prepare": {"prepare": "make a data set from its download, or from pairs of your own"},
    "weights": {
        "convert": "make a model directory from a published PyTorch file",
        "export": "write a PyTorch file with the published keys, or a StableHLO or ONNX program",
        "compact": "copy a model directory at a third of its size, rounded to bfloat16",
        "average": "average the weights of models that were fine-tuned from one another",
        "summary": "count parameters and multiply-accumulates",
    },
    "compile": {"compile": "compile a training step for a TPU or GPU that is not there"},
    "reblur": {"reblur": "interpolate, transfer or show the degradation representation"},
    "adapt": {"adapt": "train a model on the blur of photographs without sharp partners"},
    "probe": {"probe": "measure how much the representation holds of blur and of content"},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command.

    Raises:
        SystemExit: with an error message when the command cannot do what was asked.
    """
    try:
        _run(_parse(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # `msdi … | head`: nobody reads the rest, and Python would report it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except (AssertionError, RuntimeError):
        from msdi_jax.runtime import processes

        if message := processes.missing_platform():
            sys.exit(f"error: {message}")
        raise
    except KeyboardInterrupt:
        sys.exit("stopped: the same command resumes, or starts again if it keeps no results")


def _run(options: argparse.Namespace) -> None:
    # Imported here, as the commands are, to keep --help fast.
    from msdi_jax.runtime import compilation, processes

    processes.print_anywhere()
    compilation.keep_programs()
    options.command(options)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="msdi", description=__doc__)
    parser.add_argument("--version", action="version", version=f"msdi {msdi_jax.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module, lines in MODULES.items():
        if arguments and arguments[0] in lines:
            importlib.import_module(f"msdi_jax.cli.{module}").add_to(commands)
        else:
            for command, line in lines.items():
                commands.add_parser(command, help=line)
    options, rest = parser.parse_known_args(arguments)
    if "overrides" in options:
        options.overrides = [text for text in rest if text.startswith("--config.")]
        rest = [text for text in rest if text not in options.overrides]
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options
