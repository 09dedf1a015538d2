"""Packages that only some commands need."""

import importlib
from types import ModuleType


def require(package: str, extra: str, purpose: str) -> ModuleType:
    """Import and return an optional `package`, which `pip install 'msdi_jax[extra]'` installs.

    Raises:
        ValueError: `package` is missing; `purpose` is the subject of the message.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        install = f"pip install 'msdi_jax[{extra}]'"
        raise ValueError(f"{purpose} needs {package}: {install}") from error
