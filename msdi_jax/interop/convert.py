"""Conversion of published weights, of PyTorch or safetensors, to model directories, and back."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from msdi_jax import models
from msdi_jax.interop import detect, torch_keys, weight_files
from msdi_jax.interop.torch_keys import FILES, Entry, from_published, key_table, to_published
from msdi_jax.interop.weight_selection import Weights, read
from msdi_jax.networks.functional import arrays_of
from msdi_jax.runtime.atomic_write import check_file

__all__ = ["Entry", "convert", "export", "from_published", "key_table", "read_vgg", "to_published"]

# In files of these parts alone, keys do not have the prefix that they have in a network.
ALONE = {"encoder": torch_keys.ENCODER, "pyramid": torch_keys.PYRAMID}


class Converted(NamedTuple):
    """Result of `convert`: the number of arrays used, and the keys of the unused ones.

    `key` is the dotted path of the source's entry with the weights; "" without one.
    """

    description: models.Description
    key: str
    arrays: int
    unused: list[str]


def convert(
    source: Path | str,
    destination: Path | str,
    *,
    key: str | None = None,
    encoder: Path | str | None = None,
    pyramid: Path | str | None = None,
    check: Callable[[models.Model], None] = lambda _: None,
) -> Converted:
    """Convert a published checkpoint to a model directory, completely or not at all.

    The network and its width follow from keys and shapes. Floating-point arrays become float32.
    Arrays that the network never uses are also stored, for `export`.

    Args:
        source: a `.pth` or `.safetensors` file.
        destination: created, or replaced if it is a model directory.
        key: dotted path of the entry with the weights, in `source` and in the files of the parts
            that have it; default: the one that fits.
        encoder: file of the encoder alone, if `source` does not contain it.
        pyramid: file of the pyramid alone, if `source` does not contain it.
        check: called with the model before anything is written; raises ValueError to refuse it.

    Raises:
        ValueError: a file is not a checkpoint of tensors, or does not fit. One message lists all
            unknown, missing and misshaped keys.
    """
    destination = Path(destination)
    models.check_replaceable(destination)
    parts = {"encoder": encoder, "pyramid": pyramid}
    weights = read(source, key, required=not any(parts.values()))
    arrays = _joined(source, weights, parts, key)
    try:
        architecture = detect.detect(arrays)
        _check_complete(architecture, arrays)
        network, unused = _network(architecture, arrays)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    description = models.Description(
        architecture,
        provenance=_provenance(source, weights.key, architecture)
        | {name: _origin(path) for name, path in parts.items() if path},
        licence=torch_keys.FILES[architecture.kind].licence,
    )
    check(models.Model(network, description))
    # VGG19's classifier is six times as large as its convolutions, and VGG19 is never exported.
    kept = {} if architecture.kind == "vgg19" else {key: arrays[key] for key in unused}
    models.save(destination, network, description, kept)
    return Converted(description, weights.key, len(arrays) - len(unused), unused)


def export(source: Path | str, destination: Path | str) -> int:
    """Write a model as a PyTorch or safetensors file with the published keys, shapes and layout.

    Arrays that the network never uses come from the converted file, or are new: zeros, and ones
    for running variances.

    Args:
        source: a model directory.
        destination: the file to write; `.safetensors`, or else PyTorch's format.

    Returns:
        The number of arrays.

    Raises:
        ValueError: `source` has no published form, or `destination` cannot be written.
    """
    destination = Path(destination)
    check_file(destination)
    loaded = models.load(source)
    name = loaded.architecture.kind
    if name == "vgg19":
        raise ValueError(f"{source} is VGG19 up to relu5_1: use torchvision's own file instead")
    _check_publishable(source, loaded.architecture)
    kept = models.load_unused(source)
    arrays = to_published(loaded.network)
    for key, shape in torch_keys.never_used(loaded.network).items():
        arrays[key] = kept.get(key, _fresh(key, shape))
    arrays = {key.removeprefix(ALONE.get(name, "")): array for key, array in arrays.items()}
    description = loaded.description
    metadata = {"architecture": vars(loaded.architecture), "licence": description.licence}
    weight_files.write(destination, arrays, description.provenance.get("key", "params"), metadata)
    return len(arrays)


def read_vgg(path: str) -> dict:
    """Read the arrays of VGG19 from torchvision's `vgg19-*.pth`, or from its model directory.

    Raises:
        ValueError: the file is not such a checkpoint, or PyTorch is not installed.
    """
    if Path(path).is_dir():
        loaded = models.load(path)
        if loaded.architecture.kind != "vgg19":
            raise ValueError(f"{path} is a {loaded.architecture.kind} model, not VGG19")
        return arrays_of(loaded.network)
    return arrays_of(_network(models.Architecture("vgg19"), read(path).arrays)[0])


def _joined(
    source: Path | str,
    weights: Weights,
    files: dict[str, Path | str | None],
    entry: str | None,
) -> dict[str, np.ndarray]:
    """Return the arrays of the source and of the files of its parts."""
    arrays, entries = weights.arrays, [weights.key]
    for name, path in files.items():
        if not path:
            continue
        prefix = ALONE[name]
        if any(key.startswith(prefix) for key in arrays):
            raise ValueError(
                f"{source} already contains the {name} ({prefix}*): leave out --{name}"
            )
        part, place = read(path, entry, required=False)
        entries.append(place)
        if not any(key.startswith(prefix) for key in part):
            raise ValueError(f"{path} has no {name}: no key is {prefix}*")
        foreign = [key for key in part if not key.startswith(prefix)]
        if foreign:
            raise ValueError(f"{path} holds more than the {name}: {foreign[0]}")
        arrays = arrays | part
    if entry and not any(f"{place}.".startswith(f"{entry}.") for place in entries):
        raise ValueError(f"no weights are under --key {entry} in any of the files")
    return arrays


def _check_complete(architecture: models.Architecture, arrays: dict[str, np.ndarray]) -> None:
    if architecture.kind not in models.ESTIMATING:
        return
    for name, prefix in ALONE.items():
        if not any(key.startswith(prefix) for key in arrays):
            raise ValueError(f"the {name} ({prefix}*) is missing: give its file by --{name}")


def _network(architecture: models.Architecture, arrays: dict) -> tuple[nnx.Module, list[str]]:
    graph, shapes = architecture.abstract()
    ours, unused = from_published(nnx.merge(graph, shapes), arrays)
    wrong = [key for key, a in arrays.items() if key not in unused and a.dtype != np.float32]
    if wrong:
        raise ValueError(f"not floating-point: {', '.join(wrong)}")
    if damaged := [key for key, a in arrays.items() if not np.isfinite(a).all()]:
        raise ValueError(f"not finite, the weights are damaged: {', '.join(damaged)}")
    return nnx.merge(graph, jax.tree.map(np.ascontiguousarray, ours)), unused


def _check_publishable(source: Path | str, architecture: models.Architecture) -> None:
    """Raise ValueError if no published file can hold this architecture."""
    sizes = ("width", "version", "hidden", "blocks")
    if architecture.kind not in FILES:
        raise ValueError(
            f"{source} is a {architecture.kind}, of which there are no published files: export a "
            f"model of one of {', '.join(FILES)}"
        )
    published = models.Architecture(
        architecture.kind, **{name: getattr(architecture, name) for name in sizes}
    )
    differences = [
        f"{name}={value}"
        for name, value in vars(architecture).items()
        if value != getattr(published, name)
    ]
    if differences:
        raise ValueError(
            f"{source} has {', '.join(differences)}, which no published file can hold: export a "
            "model of the published architecture"
        )


def _provenance(path: Path | str, key: str, architecture: models.Architecture) -> dict[str, Any]:
    return {
        "converted": time.strftime("%Y-%m-%d"),
        **_origin(path),
        "network": architecture.kind,
        "width": architecture.width,
        "key": key,
    }


def _origin(path: Path | str) -> dict[str, str]:
    with Path(path).open("rb") as file:
        return {"file": Path(path).name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _fresh(key: str, shape: tuple[int, ...]) -> np.ndarray:
    kind = np.int64 if key.endswith("num_batches_tracked") else np.float32
    return (np.ones if key.endswith("running_var") else np.zeros)(shape, kind)
