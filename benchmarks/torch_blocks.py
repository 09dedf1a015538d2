"""Blocks of the networks in torch_baseline.py; tensors are NCHW."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

DEPTH = 5


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
    """Predicted scale and shift; the joint network sees the map alone and normalises."""

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
