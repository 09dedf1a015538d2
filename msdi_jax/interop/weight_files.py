"""Reading and writing of files of named arrays: PyTorch's `.pth` and safetensors.

PyTorch files are read with its restricted unpickler, which refuses files that would run code.
Safetensors files hold no code, and need no PyTorch.
"""

import argparse
import collections
import json
import pathlib
import pickle
import re
import types
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from msdi_jax.runtime.atomic_write import atomic_write
from msdi_jax.runtime.optional import require

SUFFIXES = (".pth", ".pt", ".safetensors")
NO_CHECKPOINT = "is not a PyTorch checkpoint of tensors"
# Records that training programs save with the weights. Creating one runs no code of the file.
_RECORDS = (argparse.Namespace, types.SimpleNamespace, collections.deque)
# Paths of all systems and Python versions; those of another system cannot be created.
_PATHS = [
    (pathlib.PurePosixPath, f"{module}.{name}")
    for module in ("pathlib", "pathlib._local")
    for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
]


def read_content(path: Path | str) -> Any:
    """Read the content of a file; arrays are of NumPy or PyTorch.

    Raises:
        ValueError: the package that reads it is missing, or the file is damaged, of another kind,
            or would run code.
    """
    return _read_safetensors(path) if _is_safetensors(Path(path)) else _read_torch(path)


def _is_safetensors(path: Path) -> bool:
    """Return whether the first bytes say so, or else the name."""
    start = b""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(9)
    # A length and a JSON header; PyTorch's files are ZIP archives, or pickles.
    if start[8:] == b"{" or start.startswith((b"PK", b"\x80")):
        return start[8:] == b"{"
    return path.suffix.lower() == ".safetensors"


def _read_safetensors(path: Path | str) -> dict[str, np.ndarray]:
    _require_safetensors(path)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, KeyError, OSError) as error:
        raise ValueError(f"{path} is not a complete safetensors file: {error}") from error


def _read_torch(path: Path | str) -> Any:
    torch = _torch(path)
    try:
        # Only PyTorch's zip files can be memory-mapped, given a path. But PyTorch takes this suffix
        # in a path for the format.
        misnamed = Path(path).suffix == ".safetensors"
        mapped = zipfile.is_zipfile(path) and not misnamed
        allowed = torch.serialization.safe_globals([*_RECORDS, *_PATHS, *_numpy_types()])
        with allowed, Path(path).open("rb") as file:
            source = file if misnamed else path
            return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} {NO_CHECKPOINT}: {_reason(error)}") from error
    except Exception as error:
        # PyTorch raises many types of errors for damaged files.
        reason = "it does not exist" if not Path(path).exists() else _reason(error)
        raise ValueError(f"{path} {NO_CHECKPOINT}: {reason}") from error


def _numpy_types() -> list:
    """Return the functions and types that pickles of NumPy's scalars and arrays name."""
    functions = [np._core.multiarray.scalar, np._core.multiarray._reconstruct]
    # NumPy 1 has another path to them.
    older = [(f, f"numpy.core.multiarray.{f.__name__}") for f in functions]
    dtypes = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
    return [*functions, *older, np.ndarray, np.dtype, *dtypes]


def _reason(error: Exception) -> str:
    """Return the reason; PyTorch's own message recommends loading without protection."""
    if code := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"it would run {code[1]}, which is refused: save the weights alone where the file "
            "comes from, torch.save(model.state_dict(), 'weights.pth')"
        )
    if "TorchScript" in str(error):
        return "it is a TorchScript program: save its state_dict()"
    return "it is damaged, or another kind of file"


def to_numpy(value: Any) -> np.ndarray:
    """Convert an array of PyTorch or NumPy to NumPy, floating-point ones to float32."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float32) if jnp.issubdtype(value.dtype, jnp.floating) else value
    return (value.detach().float() if value.is_floating_point() else value.detach()).numpy()


def write(
    path: Path, arrays: Mapping[str, np.ndarray], key: str, metadata: Mapping[str, Any]
) -> None:
    """Write arrays; the suffix, one of `SUFFIXES`, chooses the format.

    Args:
        path: the file to write.
        arrays: key → array.
        key: PyTorch files only: dotted path of the entry that holds the arrays; "" for none.
        metadata: safetensors files only: further information, stored as JSON.

    Raises:
        ValueError: the package that writes it is missing.
    """
    # Both formats store memory as it is.
    arrays = {name: np.array(array, order="C") for name, array in arrays.items()}
    if path.suffix.lower() == ".safetensors":
        _write_safetensors(path, arrays, metadata)
    else:
        _write_torch(path, arrays, key)


def _write_safetensors(
    path: Path, arrays: dict[str, np.ndarray], metadata: Mapping[str, Any]
) -> None:
    _require_safetensors(path)
    from safetensors.numpy import save_file

    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    with atomic_write(path) as temporary:
        # Readers expect the layout of the arrays here, and "pt" stands for PyTorch's.
        save_file(arrays, temporary, metadata={"format": "pt", **texts})


def _write_torch(path: Path, arrays: dict[str, np.ndarray], key: str) -> None:
    torch = _torch(path)
    content = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for entry in reversed(key.split(".") if key else []):
        content = {entry: content}
    # Given a path, PyTorch would write the name of the temporary file into the file.
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def _torch(path: Path | str) -> types.ModuleType:
    return require("torch", "convert", f"reading or writing {path}")


def _require_safetensors(path: Path | str) -> None:
    require("safetensors", "convert", f"reading or writing {path}")
