"""Which network a published state dict belongs to, and how wide: read off its keys and shapes."""

import re
import statistics
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

ENCODER, PYRAMID = "net_prior.", "prior_upsampling."
# Files of the encoder or of the pyramid alone have its keys without the prefix.
BARE = {
    ENCODER: r"(layer\d|res_\d|out|conv_7x7)\.",
    PYRAMID: r"conv_latent_",
}
# The first line that any key matches decides.
SIGNS = {
    "vgg19": r"features\.\d",
    "discriminator": r"discriminator_\d\.",
    "joint": r"(inverse_)?generator\.",
    "deblur": r"(down_path|up_path|skip_conv)_\d\.",
}
# Keys of one version only; a pyramid of version 2 is told by having none of version 1.
ONLY_VERSION_1 = r"net_prior\.(layer6|res_[34])\.|prior_upsampling\.conv_latent_init\."
ONLY_VERSION_2 = r"net_prior\.out\.[147]\."
# (key, axis, multiple of the width); three each, so that one damaged array is outvoted and named.
WIDTHS = {
    "vgg19": (("features.0.bias", 0, 1), ("features.2.bias", 0, 1), ("features.5.bias", 0, 2)),
    "discriminator": (
        ("discriminator_0.model0.0.bias", 0, 1),
        ("discriminator_1.model0.0.bias", 0, 1),
        ("discriminator_0.model1.0.0.weight_u", 0, 2),
    ),
    "joint": (
        ("generator.conv_01.bias", 0, 1),
        ("inverse_generator.conv_01.bias", 0, 1),
        ("generator.last.weight", 1, 1),
    ),
    "deblur": (("conv_01.bias", 0, 1), ("cat12.bias", 0, 1), ("last.weight", 1, 1)),
    "encoder": (
        ("net_prior.layer1.0.weight_u", 0, 1),
        ("net_prior.conv_7x7.bias", 0, 1),
        ("net_prior.layer2.0.weight_u", 0, 2),
    ),
    "pyramid": (
        ("prior_upsampling.conv_latent_up6.conv_block.1.bias", 0, 1),
        ("prior_upsampling.conv_latent_up6.conv_block.5.bias", 0, 1),
        ("prior_upsampling.conv_latent_up5.conv_block.1.bias", 0, 2),
    ),
}
WIDTHS["degradation"] = WIDTHS["encoder"]
HIDDEN = {
    "deblur": [(f"ad1_list.{i}.norm_0.mlp_gamma.weight", 1, 1) for i in range(3)],
    "joint": [(f"generator.ad1_list.{i}.norm_0.mlp_gamma.weight", 1, 1) for i in range(3)],
}


class Recognised(NamedTuple):
    """What `model.Description` needs to build the network."""

    network: str
    version: int | None
    width: int
    hidden: int | None


def standard_keys(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the `module.` of data-parallel training, with the prefix of encoder and pyramid.

    Raises:
        ValueError: when two keys become the same.
    """
    found = {}
    for key, array in weights.items():
        name = key.removeprefix("module.")
        for prefix, pattern in BARE.items():
            if re.match(pattern, name):
                name = prefix + name
        if name in found:
            raise ValueError(f"{key} stands there twice, with and without its prefix")
        found[name] = array
    return found


def recognise(weights: Mapping[str, np.ndarray]) -> Recognised:
    """The network of a state dict with `standard_keys`.

    Raises:
        ValueError: when it is none of ours.
    """
    kind = _kind(weights)
    network, version = kind, None
    if kind not in ("vgg19", "discriminator"):
        version = _version(weights)
    if kind == "deblur":
        network = {1: "msdi_net", 2: "msdi2_net"}[version]
    hidden = _vote(weights, HIDDEN[kind]) if kind in HIDDEN else None
    return Recognised(network, version, _vote(weights, WIDTHS[kind]), hidden)


def _kind(weights: Mapping[str, np.ndarray]) -> str:
    for kind, sign in SIGNS.items():
        if any(re.match(sign, key) for key in weights):
            return kind
    encoder, pyramid = (any(k.startswith(p) for k in weights) for p in (ENCODER, PYRAMID))
    if not (encoder or pyramid):
        examples = ", ".join(list(weights)[:3]) or "none"
        raise ValueError(f"its keys ({examples}, …) are of no network that this package knows")
    return "degradation" if encoder and pyramid else "encoder" if encoder else "pyramid"


def _version(weights: Mapping[str, np.ndarray]) -> int:
    first, second = (
        sum(bool(re.match(p, key)) for key in weights) for p in (ONLY_VERSION_1, ONLY_VERSION_2)
    )
    return 1 if first > second else 2


def _vote(weights: Mapping[str, np.ndarray], witnesses) -> int:
    found = [
        weights[key].shape[axis] // multiple
        for key, axis, multiple in witnesses
        if key in weights and weights[key].ndim > axis
    ]
    size = statistics.mode(found) if found else 0
    if size < 1:
        keys = ", ".join(key for key, *_ in witnesses)
        raise ValueError(f"its width cannot be told: it needs one of the keys {keys}")
    return size
