"""NAFNet in PyTorch, under the published keys: the baseline that ours is timed against."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from msdi_jax.networks.nafnet import BLOCKS


class NAFNet(nn.Module):
    """Deblurs images whose sides are multiples of 2 per level."""

    def __init__(self, width: int, blocks: Sequence[int] = BLOCKS):
        super().__init__()
        depth = len(blocks) // 2
        channels = [width * 2**i for i in range(depth)]
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.encoders = nn.ModuleList(map(level, channels, blocks))
        self.downs = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, 2) for c in channels)
        self.middle_blks = level(width * 2**depth, blocks[depth])
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * c, 4 * c, 1, bias=False), nn.PixelShuffle(2))
            for c in channels[::-1]
        )
        self.decoders = nn.ModuleList(map(level, channels[::-1], blocks[depth + 1 :]))
        self.ending = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        x, skips = self.intro(image), []
        for blocks, down in zip(self.encoders, self.downs, strict=True):
            skips.append(blocks(x))
            x = down(skips[-1])
        x = self.middle_blks(x)
        for up, blocks in zip(self.ups, self.decoders, strict=True):
            x = blocks(up(x) + skips.pop())
        return (self.ending(x) + image,)


def level(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels) for _ in range(count)))


class Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm1, self.norm2 = Norm(channels), Norm(channels)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = gate(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.beta * self.conv3(y * self.sca(y))
        return x + self.gamma * self.conv5(gate(self.conv4(self.norm2(x))))


class Norm(nn.LayerNorm):
    """Normalises the channels of each pixel."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x = functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


def gate(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=1)
    return first * second
