"""MSDI-Net in PyTorch, what ours is timed against: written for these benchmarks from the equations.

Module names are the published keys, so a published state dict loads as it is. `forms` lists the
ways a user would run it. Tensors are NCHW in [0, 1].
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import remove_spectral_norm, spectral_norm

DEPTH = 5
# What the published files hold beside, and no network uses.
NEVER_USED = ("conv_4.", "conv_02.", "param_free_norm.")


def activation() -> nn.Module:
    return nn.LeakyReLU(0.2, inplace=True)


def lrelu(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2)


def conv(inputs: int, outputs: int, size: int, **options) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, **{"padding": (size - 1) // 2, **options})


def normed(inputs: int, outputs: int, size: int = 3, **options) -> nn.Sequential:
    """Spectral convolution without bias, then instance norm."""
    made = spectral_norm(conv(inputs, outputs, size, bias=False, **options))
    return nn.Sequential(made, nn.InstanceNorm2d(outputs))


class Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            conv(channels, channels, 3, padding=0),
            activation(),
            nn.ReflectionPad2d(1),
            conv(channels, channels, 3, padding=0),
        )

    def forward(self, x: Tensor) -> Tensor:
        return lrelu(x + self.conv_block(x))


class Encoder(nn.Module):
    """Blurry image → degradation representation."""

    def __init__(self, width: int, version: int):
        super().__init__()
        deepest = 8 if version == 1 else 16
        channels = [3, *(width * k for k in (1, 2, 4, 8, deepest))]
        for i in range(5):
            setattr(self, f"layer{i + 1}", normed(channels[i], channels[i + 1], stride=2))
        self.conv_7x7 = conv(width, width, 7, padding=3, padding_mode="reflect")
        for i in range(5 if version == 1 else 3):
            setattr(self, f"res_{i}", Residual(deepest * width))
        self.version = version
        if version == 1:
            self.layer6 = normed(8 * width, 8 * width)
            self.out = normed(8 * width, 4 * width, padding_mode="reflect")
            return
        ends = []
        for inputs in (16, 32, 32):
            block = normed(inputs * width, 32 * width, padding=0)
            ends += [nn.ReflectionPad2d(1), block, activation()]
        self.out = nn.Sequential(*ends)

    def shallow(self, image: Tensor) -> list[Tensor]:
        """The five features that stage 2 compares images by."""
        found = [self.layer1(image)]
        found.append(self.conv_7x7(lrelu(found[0])))
        for layer in (self.layer2, self.layer3, self.layer4):
            found.append(layer(lrelu(found[-1])))
        return found

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[2:] != (256, 256):
            image = functional.interpolate(image, (256, 256), mode="bilinear")
        x = self.layer5(lrelu(self.shallow(image)[-1]))
        if self.version == 1:
            x = self.layer6(lrelu(x))
        x = self.res_2(self.res_1(self.res_0(x)))
        if self.version == 1:
            x = self.res_4(self.res_3(functional.avg_pool2d(x, 2)))
        return self.out(x)


class UpBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            spectral_norm(conv(inputs, outputs, 3, padding=0)),
            activation(),
            nn.Upsample(scale_factor=2),
            nn.ReflectionPad2d(1),
            spectral_norm(conv(outputs, outputs, 3, padding=0)),
            activation(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_block(x)


class Pyramid(nn.Module):
    """Representation → four maps, finest first."""

    def __init__(self, width: int, version: int):
        super().__init__()
        names = [f"conv_latent_up{i}" for i in range(2, 7)]
        outs = [16, 8, 4, 2, 1]
        if version == 1:
            names, outs = ["conv_latent_init", *names], [32, *outs]
        ins = [4 if version == 1 else 32, *outs[:-1]]
        for name, i, o in zip(names, ins, outs, strict=True):
            self.add_module(name, UpBlock(i * width, o * width))

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for block in self.children():
            x = block(x)
            found.append(x)
        return found[:-5:-1]


class Normalisation(nn.Module):
    """What predicts scale and shift; the joint network looks at the map alone and normalises."""

    def __init__(self, channels: int, hidden: int, joint: bool):
        super().__init__()
        if joint:
            self.param_free_norm = nn.BatchNorm2d(channels, affine=False)
            self.mlp_shared = nn.Sequential(conv(channels, hidden, 3), nn.ReLU(inplace=True))
        else:
            self.mlp_shared = nn.Sequential(
                conv(2 * channels, channels, 1),
                activation(),
                conv(channels, hidden, 3),
                activation(),
                conv(hidden, hidden, 3),
                activation(),
            )
        self.joint = joint
        self.mlp_gamma = conv(hidden, channels, 3)
        self.mlp_beta = conv(hidden, channels, 3)

    def forward(self, x: Tensor, degradation: Tensor) -> Tensor:
        resized = functional.interpolate(degradation, x.shape[2:], mode="nearest")
        context = self.mlp_shared(resized if self.joint else torch.cat([x, resized], 1))
        n = self.param_free_norm(x) if self.joint else x
        return n * (1 + self.mlp_gamma(context)) + self.mlp_beta(context)


class Modulation(nn.Module):
    def __init__(self, channels: int, hidden: int, joint: bool):
        super().__init__()
        self.norm_0 = Normalisation(channels, hidden, joint)
        self.conv_0 = spectral_norm(conv(channels, channels, 3))

    def forward(self, x: Tensor, degradation: Tensor) -> Tensor:
        return x + self.conv_0(lrelu(self.norm_0(x, degradation)))


class Block(nn.Module):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        joint: bool,
        half_norm: bool,
        fuse: bool = False,
        downsample: bool = False,
    ):
        super().__init__()
        self.identity = conv(inputs, outputs, 1, bias=joint)
        self.conv_1 = conv(inputs, outputs, 3)
        self.conv_2 = conv(outputs, outputs, 3)
        self.norm = nn.InstanceNorm2d(outputs // 2, affine=True) if half_norm else None
        self.conv_3 = None if joint else conv(outputs, outputs, 1, bias=False)
        if fuse:
            self.csff_enc = conv(outputs, outputs, 1, bias=False)
            self.csff_dec = conv(outputs, outputs, 1, bias=False)
        if downsample:
            self.downsample = conv(outputs, outputs, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor, fusion: tuple[Tensor, Tensor] | None = None) -> Tensor:
        t = self.conv_1(x)
        if self.norm is not None:
            first, second = t.chunk(2, 1)
            t = torch.cat([self.norm(first), second], 1)
        t = lrelu(t)
        if self.conv_3 is not None:
            t = lrelu(self.conv_3(t))
        t = lrelu(self.conv_2(t)) + self.identity(x)
        return t if fusion is None else t + self.csff_enc(fusion[0]) + self.csff_dec(fusion[1])


class UpStep(nn.Module):
    def __init__(self, inputs: int, outputs: int, joint: bool):
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.conv_block = Block(2 * outputs, outputs, joint=joint, half_norm=False)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv_block(torch.cat([self.up(x), skip], 1))


def down_path(width: int, *, joint: bool, fuse: bool = False) -> nn.ModuleList:
    return nn.ModuleList(
        Block(
            width * 2 ** max(i - 1, 0),
            width * 2**i,
            joint=joint,
            half_norm=True,
            fuse=fuse and i < DEPTH - 1,
            downsample=i < DEPTH - 1,
        )
        for i in range(DEPTH)
    )


def up_path(width: int, *, joint: bool) -> nn.ModuleList:
    levels = reversed(range(DEPTH - 1))
    return nn.ModuleList(UpStep(width * 2 ** (i + 1), width * 2**i, joint) for i in levels)


def encode(path: nn.ModuleList, x: Tensor, fusion: list | None = None) -> tuple[Tensor, list]:
    features = []
    for i, block in enumerate(list(path)[:-1]):
        features.append(block(x, fusion and fusion[i]))
        x = block.downsample(features[-1])
    return path[-1](x), features


def decode(path: nn.ModuleList, x: Tensor, skips: Callable[[int], Tensor]) -> list[Tensor]:
    """`skips(i)` is asked from the deepest level, i = 0; returns the levels, finest first."""
    found = []
    for i, step in enumerate(path):
        x = step(x, skips(i))
        found.append(x)
    return found[::-1]


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            conv(width, width, 3),
            conv(width, 3, 3),
            conv(3, width, 3),
        )

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        restored = self.conv2(x) + image
        return self.conv1(x) * torch.sigmoid(self.conv3(restored)) + x, restored


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
