"""Names and layouts of arrays: published PyTorch state dicts ↔ the networks of this package.

The published names and shapes are facts of the checkpoints; the networks' modules describe what
they compute. Conversion is strict: every key is known, or reported with all other problems.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from flax import nnx, traverse_util

from msdi_jax.networks.degradation import (
    DegradationEncoder,
    DegradationEstimator,
    DegradationPyramid,
)

# Our name → the published one, applied in order to the dotted path of an array. Our levels count
# from the finest, those of the published skip and up paths from the deepest: hence `3 - level`.
SKIPS = (2, 4, 5, 6)
RULES: list[tuple[str, str | Callable[[re.Match], str]]] = [
    (r"^degradation\.encoder\.shallow\.down\.(\d)", lambda m: f"net_prior.layer{int(m[1]) + 1}.0"),
    (r"^degradation\.encoder\.deep\.(\d)", lambda m: f"net_prior.layer{int(m[1]) + 5}.0"),
    (r"^degradation\.encoder\.shallow\.smooth", "net_prior.conv_7x7"),
    (r"^degradation\.encoder\.residual\.(\d)\.conv_1", r"net_prior.res_\1.conv_block.1"),
    (r"^degradation\.encoder\.residual\.(\d)\.conv_2", r"net_prior.res_\1.conv_block.4"),
    (r"^degradation\.pyramid\.up\.(\d)\.", r"prior_upsampling.conv_latent_\1.conv_block."),
    (r"^(prior_upsampling\..*\.)before", r"\g<1>1"),
    (r"^(prior_upsampling\..*\.)after", r"\g<1>5"),
    (r"^deblur\.", "generator."),
    (r"^reblur\.", "inverse_generator."),
    (r"\bstem_([12])", r"conv_0\1"),
    (r"\bstem", "conv_01"),
    (r"\bunet\.", "unet_1."),
    (r"\bunet_([12])\.down\.", r"down_path_\1."),
    (r"\bunet_([12])\.downsample\.(\d)", r"down_path_\1.\2.downsample"),
    (r"\bunet_([12])\.up\.(\d)\.", lambda m: f"up_path_{m[1]}.{3 - int(m[2])}."),
    (r"(up_path_\d\.\d)\.block\.", r"\1.conv_block."),
    (r"^before\.(\d)", lambda m: f"skip_conv_1.{3 - int(m[1])}"),
    (r"^after\.(\d)", lambda m: f"skip_conv_3.{3 - int(m[1])}"),
    (r"^skip\.(\d)\.(\d)", lambda m: f"skip_conv_{SKIPS[int(m[2])]}.{3 - int(m[1])}"),
    (r"\bpointwise", "conv_3"),
    (r"\bfuse_encoder", "csff_enc"),
    (r"\bfuse_decoder", "csff_dec"),
    (r"\bmodulation\.(\d)\.project", r"ad1_list.\1.conv_0"),
    (
        r"\bmodulation\.(\d)\.shared\.(\d)",
        lambda m: f"ad1_list.{m[1]}.norm_0.mlp_shared.{2 * int(m[2])}",
    ),
    (r"\bmodulation\.(\d)\.norm\.(mean|var)", r"ad1_list.\1.norm_0.param_free_norm.running_\2"),
    (r"\bmodulation\.(\d)\.(gamma|beta)", r"ad1_list.\1.norm_0.mlp_\2"),
    (r"^attention\.feature", "sam12.conv1"),
    (r"^attention\.to_image", "sam12.conv2"),
    (r"^attention\.gate", "sam12.conv3"),
    (r"^merge", "cat12"),
    (r"\bskip_([12])\.(\d)", lambda m: f"skip_conv_{m[1]}.{3 - int(m[2])}"),
    (r"^(encoders|decoders)\.(\d)\.(\d+)\.(norm|conv)_(\d)", r"\1.\2.\3.\4\5"),
    (r"^middle\.(\d+)\.(norm|conv)_(\d)", r"middle.\1.\2\3"),
    (r"^middle\.", "middle_blks."),
    (r"(\d)\.attention\.project", r"\1.sca.1"),
    (r"^ups\.(\d)", r"ups.\1.0"),
    (r"^scale\.(\d)\.first", r"discriminator_\1.model0.0"),
    (r"^scale\.(\d)\.middle\.(\d)", lambda m: f"discriminator_{m[1]}.model{int(m[2]) + 1}.0.0"),
    (r"^scale\.(\d)\.last", r"discriminator_\1.model4.0"),
    (r"^conv\.(\d+)", r"features.\1"),
    (r"\.scale$", ".weight"),
    (r"\.([uv])$", r".weight_\1"),
]
# The two versions of the degradation networks number the same layers differently.
VERSION_RULES = {
    1: [
        (r"^degradation\.encoder\.out\.0", "net_prior.out.0"),
        (r"conv_latent_0", "conv_latent_init"),
        (r"conv_latent_(\d)", lambda m: f"conv_latent_up{int(m[1]) + 1}"),
    ],
    2: [
        (
            r"^degradation\.encoder\.out\.(\d)",
            lambda m: f"net_prior.out.{1 + 3 * int(m[1])}.0",
        ),
        (r"conv_latent_(\d)", lambda m: f"conv_latent_up{int(m[1]) + 2}"),
    ],
}
# Paths of these networks inside the larger ones, which determine the published keys.
PLACES = {
    DegradationEstimator: ("degradation",),
    DegradationEncoder: ("degradation", "encoder"),
    DegradationPyramid: ("degradation", "pyramid"),
}
# The published checkpoints also contain arrays that the published networks never use. Each has the
# shape of an array in use: used key → never used key.
NEVER_USED = [
    (r"\bconv_3\.weight$", "conv_4.weight"),
    (r"\bmlp_gamma\.bias$", "param_free_norm.running_mean"),
    (r"\bmlp_gamma\.bias$", "param_free_norm.running_var"),
    (r"\bmlp_gamma\.bias$", "param_free_norm.num_batches_tracked"),
    (r"generator\.conv_01\b", "generator.conv_02"),
]
# Layers of torchvision's VGG19 after relu5_1.
VGG_REST = r"^(features\.(30|32|34)|classifier\.\d)\.(weight|bias)$"

# Prefixes of the encoder's and the pyramid's keys; files of one of them alone leave it out.
ENCODER, PYRAMID = "net_prior.", "prior_upsampling."


class PublishedFile(NamedTuple):
    """Recognition of the published files of one kind of network.

    Attributes:
        sign: pattern of keys that identify the kind; None where other kinds have the same keys.
        widths: (key, axis, multiple of the width) of three arrays, so that a damaged one is
            outvoted and reported.
        hidden: (key, axis, 1) of arrays with the context channels.
        licence: of the weights.
    """

    sign: str | None
    widths: tuple[tuple[str, int, int], ...]
    hidden: tuple[tuple[str, int, int], ...] = ()
    licence: str = (
        "the converted file's; that of the published MSDI-Net weights is unclear: "
        "do not redistribute them"
    )


_GAMMAS = [f"ad1_list.{i}.norm_0.mlp_gamma.weight" for i in range(3)]
_ENCODER_WIDTHS = (
    (f"{ENCODER}layer1.0.weight_u", 0, 1),
    (f"{ENCODER}conv_7x7.bias", 0, 1),
    (f"{ENCODER}layer2.0.weight_u", 0, 2),
)
# Kind of network → its published files. The first sign that any key matches decides.
FILES = {
    "vgg19": PublishedFile(
        r"features\.\d",
        (("features.0.bias", 0, 1), ("features.2.bias", 0, 1), ("features.5.bias", 0, 2)),
        licence="torchvision's, see there",
    ),
    "discriminator": PublishedFile(
        r"discriminator_\d\.",
        (
            ("discriminator_0.model0.0.bias", 0, 1),
            ("discriminator_1.model0.0.bias", 0, 1),
            ("discriminator_0.model1.0.0.weight_u", 0, 2),
        ),
    ),
    "reblur_deblur_net": PublishedFile(
        r"(inverse_)?generator\.",
        (
            ("generator.conv_01.bias", 0, 1),
            ("inverse_generator.conv_01.bias", 0, 1),
            ("generator.last.weight", 1, 1),
        ),
        hidden=tuple((f"generator.{key}", 1, 1) for key in _GAMMAS),
    ),
    "nafnet": PublishedFile(
        r"(intro|ending|encoders|middle_blks)\.",
        (("intro.bias", 0, 1), ("ending.weight", 1, 1), ("downs.0.bias", 0, 2)),
        licence="MIT, as NAFNet's",
    ),
    "hinet": PublishedFile(
        r"skip_conv_1\.\d\.(weight|bias)$",
        (("conv_01.bias", 0, 1), ("cat12.bias", 0, 1), ("last.weight", 1, 1)),
        licence="MIT, as HINet's",
    ),
    "msdi_net": PublishedFile(
        r"(down_path|up_path|skip_conv)_\d\.",
        (("conv_01.bias", 0, 1), ("cat12.bias", 0, 1), ("last.weight", 1, 1)),
        hidden=tuple((key, 1, 1) for key in _GAMMAS),
    ),
    "degradation": PublishedFile(None, _ENCODER_WIDTHS),
    "encoder": PublishedFile(None, _ENCODER_WIDTHS),
    "pyramid": PublishedFile(
        None,
        (
            (f"{PYRAMID}conv_latent_up6.conv_block.1.bias", 0, 1),
            (f"{PYRAMID}conv_latent_up6.conv_block.5.bias", 0, 1),
            (f"{PYRAMID}conv_latent_up5.conv_block.1.bias", 0, 2),
        ),
    ),
}

Path = tuple[str | int, ...]


class Entry(NamedTuple):
    """Key and layout of one of our arrays in a published state dict."""

    key: str
    kind: str  # 'kernel', 'up', 'u', 'v' or 'vector'
    kernel_shape: tuple[int, ...]

    def shape(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """Return the published shape of our array of shape `ours`."""
        if self.kind == "kernel":
            return (ours[3], ours[2], *ours[:2])
        return (*ours[2:], *ours[:2]) if self.kind == "up" else ours

    def to_ours(self, published: np.ndarray) -> np.ndarray:
        """Convert an array from the published layout to ours."""
        if self.kind == "kernel":
            return published.transpose(2, 3, 1, 0)
        if self.kind == "up":
            return published.transpose(2, 3, 0, 1)
        if self.kind == "v":
            height, width, inputs, _ = self.kernel_shape
            return published.reshape(inputs, height, width).transpose(1, 2, 0).ravel()
        return published

    def to_published(self, ours: np.ndarray) -> np.ndarray:
        """Convert an array from our layout to the published one."""
        if self.kind == "kernel":
            return ours.transpose(3, 2, 0, 1)
        if self.kind == "up":
            return ours.transpose(2, 3, 0, 1)
        if self.kind == "v":
            height, width, inputs, _ = self.kernel_shape
            return ours.reshape(height, width, inputs).transpose(2, 0, 1).ravel()
        return ours


def key_table(network: nnx.Module) -> dict[Path, Entry]:
    """Return the published name and layout of every array of `network` (abstract or real).

    A separate encoder or pyramid has the keys that it has inside a network.
    """
    place = PLACES.get(type(network), ())
    arrays = {(*place, *path): array for path, array in _flat(network).items()}
    deepest = (("encoder", "deep", 1, "kernel"), ("pyramid", "up", 5, "before", "kernel"))
    version = 1 if any(("degradation", *path) in arrays for path in deepest) else 2
    return {path[len(place) :]: _entry(path, arrays, VERSION_RULES[version]) for path in arrays}


def _flat(network: nnx.Module) -> dict[Path, np.ndarray]:
    return traverse_util.flatten_dict(nnx.to_pure_dict(nnx.state(network)))


def _entry(path: Path, arrays: Mapping[Path, np.ndarray], version_rules: list) -> Entry:
    key = ".".join(map(str, path))
    for pattern, replacement in [*RULES, *version_rules]:
        key = re.sub(pattern, replacement, key)
    *stem, leaf = path
    kernel_shape = arrays[(*stem, "kernel")].shape if (*stem, "kernel") in arrays else ()
    if leaf == "kernel":
        spectral = (*stem, "u") in arrays
        key = key.removesuffix("kernel") + ("weight_orig" if spectral else "weight")
        kind = "up" if stem[-1] == "up" else "kernel"
    elif leaf in ("beta", "gamma"):
        kind = "up"  # (1, 1, 1, c) is (1, c, 1, 1) there
    else:
        kind = leaf if leaf in ("u", "v") else "vector"
    return Entry(key, kind, kernel_shape)


def never_used(network: nnx.Module) -> dict[str, tuple[int, ...]]:
    """Return the keys and shapes of a published state dict that `network` never uses."""
    arrays = _flat(network)
    shapes = {e.key: e.shape(arrays[path].shape) for path, e in key_table(network).items()}
    unused = {}
    for key, shape in shapes.items():
        for pattern, replacement in NEVER_USED:
            name, matches = re.subn(pattern, replacement, key)
            if matches and name not in shapes:
                unused[name] = () if name.endswith("num_batches_tracked") else shape
    return unused


def count_never_used(network: nnx.Module) -> int:
    """Count the parameters that a published file of `network` holds and no forward pass uses."""
    shapes = never_used(network).items()
    return sum(int(np.prod(shape)) for key, shape in shapes if "param_free_norm" not in key)


def from_published(network: nnx.Module, weights: Mapping[str, np.ndarray]) -> tuple[dict, list]:
    """Return the arrays of `network` from a published state dict.

    Args:
        network: abstract (`nnx.eval_shape`) or real; only names and shapes matter.
        weights: published key → array.

    Returns:
        The nested dict of arrays, and the keys of `weights` that the networks never use.

    Raises:
        ValueError: keys are unknown, missing or misshaped; lists all of them.
    """
    arrays, table = _flat(network), key_table(network)
    expected = {e.key: e.shape(arrays[path].shape) for path, e in table.items()}
    extra = never_used(network)
    unused = [k for k in weights if k in extra or (k not in expected and re.match(VGG_REST, k))]
    problems = [f"unknown: {k}" for k in weights if k not in expected and k not in unused]
    problems += [f"missing: {k}" for k in expected if k not in weights]
    problems += [
        f"misshaped: {key} is {np.shape(weights[key])}, expected {shape}"
        for key, shape in (expected | extra).items()
        if key in weights and np.shape(weights[key]) != shape
    ]
    if problems:
        raise ValueError(
            f"{len(problems)} keys do not fit this network:\n  " + "\n  ".join(problems)
        )
    ours = {path: e.to_ours(np.asarray(weights[e.key])) for path, e in table.items()}
    return traverse_util.unflatten_dict(ours), unused


def to_published(network: nnx.Module) -> dict[str, np.ndarray]:
    """Return the published state dict of `network`, without the keys that are never used."""
    arrays, table = _flat(network), key_table(network)
    return {entry.key: entry.to_published(np.asarray(arrays[p])) for p, entry in table.items()}
