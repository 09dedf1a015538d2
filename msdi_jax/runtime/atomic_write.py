"""Files and folders that appear whole or not at all."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path in the same folder; what the block writes there replaces `path` at its end.

    The block writes a file or makes a folder. If it raises, or is interrupted, `path` stays as it
    was and nothing else is left. Writers that choose a format by the suffix find that of `path`.
    """
    temporary = _next_to(path)
    try:
        yield temporary
        _replace(path, temporary)
    finally:
        _remove(temporary)


def _next_to(path: Path) -> Path:
    """A hidden name that is free and short: `path` may have the longest that is allowed."""
    return path.with_name(f".{secrets.token_hex(4)}{path.suffix[:16]}")


def _replace(path: Path, new: Path) -> None:
    if not (new.is_dir() and path.is_dir()):
        new.replace(path)
        return
    # No folder replaces another one that holds files.
    old = path.rename(_next_to(path))
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
