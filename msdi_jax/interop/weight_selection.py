"""Selection of the weights among everything that a checkpoint holds.

Training programs save weights as an entry with any name, next to optimizer states, averaged
weights and options. The one mapping of arrays that fits a network of this package is taken.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msdi_jax.interop import detect
from msdi_jax.interop.weight_files import NO_CHECKPOINT, read_content, to_numpy

# Entries of optimizers, whose averages have the keys and shapes of weights.
_OPTIMIZER = re.compile(r"optim|^opt(_|$)|exp_avg|momentum", re.IGNORECASE)


class Weights(NamedTuple):
    """A file's arrays by their standard keys, and the dotted path of the entry that holds them."""

    arrays: dict[str, np.ndarray]
    key: str


def read(path: Path | str, key: str | None = None, *, required: bool = True) -> Weights:
    """Read the weights of a PyTorch or safetensors file, floating-point ones as float32.

    Args:
        path: the file.
        key: dotted path of the entry with the weights; default: the only one that fits.
        required: whether the file must have `key`.

    Raises:
        ValueError: see `weight_files.read_content`; or no mapping of arrays fits, or several do.
    """
    content = read_content(path)
    candidates = dict(_mappings(content))
    try:
        name = _choose(candidates, key, required)
        arrays = {str(k): _array(k, value) for k, value in _entries(candidates[name])}
        return Weights(detect.standard_keys(arrays), name)
    except TypeError as error:
        raise ValueError(f"{path} {NO_CHECKPOINT}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _mappings(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Mapping]]:
    """Yield the dotted path and the content of all mappings that hold arrays."""
    if not isinstance(content, Mapping) or {"state", "param_groups"} <= content.keys():
        return
    if any(_is_array(value) and "." in str(key) for key, value in content.items()):
        yield ".".join(path), content
    for key, value in content.items():
        if not _OPTIMIZER.search(str(key)):
            yield from _mappings(value, (*path, str(key)))


def _is_array(value: Any) -> bool:
    # PyTorch's tensors have `detach`; PyTorch may not be installed.
    return isinstance(value, np.ndarray) or hasattr(value, "detach")


def _choose(candidates: Mapping[str, Mapping], key: str | None, required: bool) -> str:
    """Return the path of the weights.

    Raises:
        TypeError: there are none.
        ValueError: several mappings are possible, or `key` names none.
    """
    if not candidates:
        raise TypeError("it has no named arrays outside optimizer states")
    names = [name for name in candidates if detect.fits(map(str, candidates[name]))]
    names = names or list(candidates)
    if key is not None:
        chosen = [name for name in candidates if f"{name}.".startswith(f"{key}.")]
        if required and not chosen:
            raise ValueError(f"no weights are under --key {key}, but under {_listed(names)}")
        names = [name for name in names if name in chosen] or chosen or names
    if len(names) > 1:
        raise ValueError(f"it holds weights under {_listed(names)}: choose one by --key")
    return names[0]


def _listed(names: list[str]) -> str:
    shown = [name or "the top level" for name in names[:6]]
    return ", ".join([*shown, *(["…"] if len(names) > 6 else [])])


def _entries(weights: Mapping) -> Iterator[tuple[Any, Any]]:
    """Yield the weights; entries without a dot in their key, such as a step, are none."""
    return ((key, value) for key, value in weights.items() if "." in str(key))


def _array(key: Any, value: Any) -> np.ndarray:
    if not _is_array(value):
        raise TypeError(f"{key!r} holds a {type(value).__name__}")
    array = to_numpy(value)
    # PyTorch also reads the shape (1,) of older versions and of NumPy as a scalar.
    scalar = str(key).endswith("num_batches_tracked") and array.size == 1
    return array.reshape(()) if scalar else array
