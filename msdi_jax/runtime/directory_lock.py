"""Locks: one process at a time works in a directory."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

NAME = ".lock"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock `folder`, created if missing; the system releases the lock of a killed process.

    Raises:
        ValueError: another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another process is working in {folder}: wait until it ends, or stop it"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield
