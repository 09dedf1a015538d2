"""The argparse type of options that are paths."""

import argparse
from pathlib import Path


def path(text: str) -> Path:
    """Return the path with `~` and `~user` expanded, as `--option=~/folder` needs.

    Shells expand `~` only at the start of a word. Like them, leave unknown users as they are.

    Raises:
        argparse.ArgumentTypeError: for an empty path, such as that of an unset shell variable.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
