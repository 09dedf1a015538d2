"""MSDI-Net in PyTorch, the baseline of the benchmarks, written from the equations.

Module names are the published keys, so a published state dict loads as it is. `forms` lists the
ways a user would run it. Tensors are NCHW in [0, 1].
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import remove_spectral_norm

from benchmarks.torch_blocks import (
    DEPTH,
    Attention,
    Block,
    Encoder,
    Modulation,
    Pyramid,
    activation,
    conv,
    decode,
    down_path,
    encode,
    normed,
    up_path,
)

# Arrays that the published files hold and no network uses.
NEVER_USED = ("conv_4.", "conv_02.", "param_free_norm.")


class MSDINet(nn.Module):
    """Returns (deblurred, intermediate)."""

    def __init__(self, width: int, version: int):
        super().__init__()
        self.net_prior = Encoder(width, version)
        self.prior_upsampling = Pyramid(width, version)
        self.conv_01, self.conv_02 = conv(3, width, 3), conv(3, width, 3)
        self.down_path_1 = down_path(width, joint=False)
        self.up_path_1 = up_path(width, joint=False)
        self.down_path_2 = down_path(width, joint=False, fuse=True)
        self.up_path_2 = up_path(width, joint=False)
        for k in range(1, 7):
            self.add_module(f"skip_conv_{k}", self._skips(width))
        self.ad1_list = nn.ModuleList(
            Modulation(width * 2**i, 2 * width, joint=False) for i in range(DEPTH - 1)
        )
        self.sam12 = Attention(width)
        self.cat12 = conv(2 * width, width, 1)
        self.last = conv(width, 3, 3)

    @staticmethod
    def _skips(width: int) -> nn.ModuleList:
        channels = [width * 2**i for i in reversed(range(DEPTH - 1))]
        return nn.ModuleList(Block(c, c, joint=False, half_norm=True) for c in channels)

    def maps(self, image: Tensor) -> list[Tensor]:
        return self.prior_upsampling(self.net_prior(image))

    def forward(self, image: Tensor, maps: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        maps = self.maps(image) if maps is None else maps
        bottom, encoded = encode(self.down_path_1, self.conv_01(image))

        def injected(i: int) -> Tensor:
            level = DEPTH - 2 - i
            x = self.ad1_list[level](self.skip_conv_1[i](encoded[level]), maps[level])
            return self.skip_conv_3[i](x)

        decoded = decode(self.up_path_1, bottom, injected)
        gated, intermediate = self.sam12(decoded[0], image)
        x = self.cat12(torch.cat([self.conv_02(image), gated], 1))
        fusion = list(zip(encoded, decoded, strict=True))
        bottom, second = encode(self.down_path_2, x, fusion)

        def crossed(i: int) -> Tensor:
            x = second[DEPTH - 2 - i]
            for path in (self.skip_conv_2, self.skip_conv_4, self.skip_conv_5, self.skip_conv_6):
                x = path[i](x)
            return x

        x = decode(self.up_path_2, bottom, crossed)[0]
        return self.last(x) + image, intermediate


class Generator(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv_01 = conv(3, width, 3)
        self.down_path_1 = down_path(width, joint=True)
        self.up_path_1 = up_path(width, joint=True)
        self.ad1_list = nn.ModuleList(
            Modulation(width * 2**i, 2 * width, joint=True) for i in range(DEPTH - 1)
        )
        self.last = conv(width, 3, 3)

    def forward(self, image: Tensor, maps: list[Tensor]) -> Tensor:
        bottom, encoded = encode(self.down_path_1, self.conv_01(image))
        levels = list(range(DEPTH - 1))[::-1]
        skips = lambda i: self.ad1_list[levels[i]](encoded[levels[i]], maps[levels[i]])  # noqa: E731
        return self.last(decode(self.up_path_1, bottom, skips)[0]) + image


class JointNet(nn.Module):
    """Returns (deblurred, reblurred)."""

    def __init__(self, width: int):
        super().__init__()
        self.net_prior = Encoder(width, 2)
        self.prior_upsampling = Pyramid(width, 2)
        self.generator = Generator(width)
        self.inverse_generator = Generator(width)

    def forward(self, blurry: Tensor, sharp: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.prior_upsampling(self.net_prior(blurry))
        return self.generator(blurry, maps), self.inverse_generator(sharp, maps)


class PatchDiscriminator(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.model0 = nn.Sequential(conv(6, width, 4, stride=2, padding=2), activation())
        for i, stride in enumerate((2, 2, 1)):
            block = normed(width * 2**i, width * 2 ** (i + 1), 4, stride=stride, padding=2)
            self.add_module(f"model{i + 1}", nn.Sequential(block, activation()))
        self.model4 = nn.Sequential(conv(8 * width, 1, 4, padding=2))

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for layer in self.children():
            x = layer(x)
            found.append(x)
        return found


class Discriminator(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.discriminator_0 = PatchDiscriminator(width)
        self.discriminator_1 = PatchDiscriminator(width)

    def forward(self, pair: Tensor) -> list[list[Tensor]]:
        half = functional.avg_pool2d(pair, 3, 2, 1, count_include_pad=False)
        return [self.discriminator_0(pair), self.discriminator_1(half)]


def load_published(network: nn.Module, weights: Mapping[str, np.ndarray]) -> nn.Module:
    """Copies published arrays in, in evaluation mode and the arrays' precision.

    Raises:
        ValueError: for keys that are missing or unknown.
    """
    own = network.state_dict()
    tensors = {
        key: torch.from_numpy(np.array(value))
        for key, value in weights.items()
        if key in own or not any(name in key for name in NEVER_USED)
    }
    wrong = sorted(set(own) ^ set(tensors))
    if wrong:
        raise ValueError(f"keys that do not fit this network: {', '.join(wrong)}")
    precision = next(t.dtype for t in tensors.values() if t.is_floating_point())
    network.to(precision).load_state_dict(tensors)
    return network.eval()


def fold(network: nn.Module) -> nn.Module:
    """Divides the spectral kernels once, as one would before serving."""
    for module in network.modules():
        if hasattr(module, "weight_orig"):
            remove_spectral_norm(module)
    return network


Form = tuple[str, Callable[[Tensor], Tensor]]
FORMS = "eager", "eager, bfloat16", "torch.compile", "channels_last", "channels_last, bfloat16"


def forms(network: nn.Module, device: str = "cpu") -> Iterator[Form]:
    """(name of `FORMS`, image → deblurred) of each way to run a folded network in evaluation mode.

    They share `network`, which `channels_last` changes for those after it: use one before the next.
    """
    network = network.to(device)

    def run(call: Callable, *, autocast: bool = False, layout=torch.contiguous_format):
        def forward(image: Tensor) -> Tensor:
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=autocast):
                return call(image.to(device, memory_format=layout))[0]

        return forward

    yield "eager", run(network)
    yield "eager, bfloat16", run(network, autocast=True)
    yield "torch.compile", run(torch.compile(network))
    network.to(memory_format=torch.channels_last)
    last = {"layout": torch.channels_last}
    yield "channels_last", run(network, **last)
    yield "channels_last, bfloat16", run(network, autocast=True, **last)
