"""Atomic writing: files and folders appear complete or not at all."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; at the end of the block, it replaces `path`.

    A link stays, and what it leads to is replaced.
    The block writes a file or creates a folder there. If it raises, or is interrupted, `path` does
    not change and the temporary file is removed. The suffix is that of `path`, for writers that
    choose a format by it.
    """
    path = path.resolve() if path.is_symlink() else path
    temporary = _next_to(path)
    try:
        yield temporary
        _replace(path, temporary)
    finally:
        _remove(temporary)


def check_file(path: Path) -> None:
    """Raise ValueError if no file can be written at `path`."""
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"{path} cannot be written: give a file in an existing folder")


def _next_to(path: Path) -> Path:
    """Return a free hidden name. It is short: `path` may have the longest name allowed."""
    return path.with_name(f".{secrets.token_hex(4)}{path.suffix[:16]}")


def _replace(path: Path, new: Path) -> None:
    if not (new.is_dir() and path.is_dir()):
        new.replace(path)
        return
    # A folder cannot replace another one that is not empty.
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
