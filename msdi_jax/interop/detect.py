"""Detection of the network of a published state dict, and its sizes, from keys and shapes."""

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from msdi_jax.interop.torch_keys import ENCODER, FILES, PYRAMID
from msdi_jax.models import Architecture
from msdi_jax.models.architecture import KINDS

# Keys without the prefix, in files of the encoder or the pyramid alone.
BARE = {
    ENCODER: r"(layer\d|res_\d|out|conv_7x7)\.",
    PYRAMID: r"conv_latent_",
}
# Components that DataParallel, torch.compile, activation checkpointing and FSDP insert.
WRAPPERS = re.compile(
    r"(?<![^.])(module|_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\."
)
# Keys that only one version has. A pyramid of version 2 has none of either; 2 is the default.
ONLY_VERSION_1 = r"net_prior\.(layer6|res_[34])\.|prior_upsampling\.conv_latent_init\."
ONLY_VERSION_2 = r"net_prior\.out\.[147]\."


def standard_keys(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Remove the prefixes of PyTorch's wrappers; add the prefix of encoder and pyramid.

    Raises:
        ValueError: two keys become the same.
    """
    arrays = {}
    for name, (key, array) in zip(_standard_names(weights), weights.items(), strict=True):
        if name in arrays:
            raise ValueError(f"{key} is there twice, with and without its prefix")
        arrays[name] = array
    return arrays


def fits(keys: Iterable[str]) -> bool:
    """Return whether keys look like those of a network of this package."""
    return _is_known(_standard_names(keys))


def _standard_names(keys: Iterable[str]) -> list[str]:
    """Return the standard keys, without the name of the attribute that held the network."""
    names = originals = [WRAPPERS.sub("", key) for key in keys]
    while not _is_known(names):
        if len({name.partition(".")[0] for name in names}) != 1 or "" in names:
            return originals
        names = [name.partition(".")[2] for name in names]
    return [_with_part(name) for name in names]


def _with_part(name: str) -> str:
    return next((part + name for part, pattern in BARE.items() if re.match(pattern, name)), name)


def _is_known(names: Iterable[str]) -> bool:
    patterns = [*(file.sign for file in FILES.values() if file.sign), *BARE.values()]
    known = "|".join([*patterns, re.escape(ENCODER), re.escape(PYRAMID)])
    return any(re.match(known, name) for name in names)


def detect(weights: Mapping[str, np.ndarray]) -> Architecture:
    """Detect the network of a state dict with `standard_keys`.

    Raises:
        ValueError: it belongs to no network of this package.
    """
    kind = _kind(weights)
    sizes = {"width": _vote(weights, FILES[kind].widths)}
    if FILES[kind].hidden:
        sizes["hidden"] = _vote(weights, FILES[kind].hidden)
    if "version" in KINDS[kind].arguments:
        sizes["version"] = _version(weights)
    if "blocks" in KINDS[kind].arguments:
        sizes["blocks"] = _blocks(weights)
    return Architecture(kind, **sizes)


def _kind(weights: Mapping[str, np.ndarray]) -> str:
    for kind, file in FILES.items():
        if file.sign and any(re.match(file.sign, key) for key in weights):
            return kind
    encoder, pyramid = (any(k.startswith(p) for k in weights) for p in (ENCODER, PYRAMID))
    if not (encoder or pyramid):
        examples = ", ".join(list(weights)[:3]) or "none"
        raise ValueError(f"its keys ({examples}, …) belong to no network of this package")
    return "degradation" if encoder and pyramid else "encoder" if encoder else "pyramid"


def _version(weights: Mapping[str, np.ndarray]) -> int:
    first, second = (
        sum(bool(re.match(p, key)) for key in weights) for p in (ONLY_VERSION_1, ONLY_VERSION_2)
    )
    return 1 if first > second else 2


def _blocks(weights: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """Count the blocks of a NAFNet's levels: down, in the middle, and up."""
    numbers = Counter()
    for key in weights:
        if match := re.match(r"(encoders|middle_blks|decoders)\.([\d.]+)\.", key):
            part, place = match[1], tuple(map(int, match[2].split(".")))
            level = (part, *place[:-1])
            numbers[level] = max(numbers[level], place[-1] + 1)
    levels = range(1 + max((level[1] for level in numbers if len(level) > 1), default=0))
    down, up = ([numbers["encoders", i] for i in levels], [numbers["decoders", i] for i in levels])
    return (*down, numbers["middle_blks",], *up)


def _vote(weights: Mapping[str, np.ndarray], witnesses) -> int:
    """Return the most frequent size among those of the witnesses."""
    sizes = [
        weights[key].shape[axis] // multiple
        for key, axis, multiple in witnesses
        if key in weights and weights[key].ndim > axis
    ]
    size = statistics.mode(sizes) if sizes else 0
    if size < 1:
        keys = ", ".join(key for key, *_ in witnesses)
        raise ValueError(f"its width is unknown: it needs one of the keys {keys}")
    return size
