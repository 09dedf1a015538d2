"""HINet: two U-Nets with half instance norm in their deepest levels.

Chen et al., "HINet: Half Instance Normalization Network for Image Restoration", CVPRW 2021.
"""

from collections.abc import Sequence

from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.networks.layers import Conv
from msdi_jax.networks.msdi_net import MSDIOutput, SupervisedAttention
from msdi_jax.networks.unet import DEPTH, UNet, check_size

# Levels with half instance norm, as published for GoPro.
NORMED = (3, 4)


class HINet(nnx.Module):
    """Deblurs images of any size that is a multiple of 16.

    Args:
        width: channels of the finest level; published: 64.
        remat: number of the finest levels whose blocks are recomputed in the backward pass.
    """

    def __init__(self, width: int = 64, *, remat: int = 0, rngs: nnx.Rngs):
        def skips() -> nnx.List:
            channels = [width * 2**i for i in range(DEPTH - 1)]
            return nnx.List(Conv(c, c, 3, rngs=rngs) for c in channels)

        options = {"pointwise": False, "half_norm": NORMED, "remat": remat, "rngs": rngs}
        self.stem_1 = Conv(3, width, 3, rngs=rngs)
        self.unet_1 = UNet(width, **options)
        self.skip_1 = skips()
        self.attention = SupervisedAttention(width, 3, rngs=rngs)
        self.stem_2 = Conv(3, width, 3, rngs=rngs)
        self.merge = Conv(2 * width, width, 1, rngs=rngs)
        self.unet_2 = UNet(width, fuse=True, **options)
        self.skip_2 = skips()
        self.last = Conv(width, 3, 3, rngs=rngs)

    def __call__(self, image: Float[Array, "b h w 3"]) -> MSDIOutput:
        check_size(image)
        encoded, decoded = _run(self.unet_1, self.skip_1, self.stem_1(image))
        gated, intermediate = self.attention(decoded[0], image)
        x = self.merge(self.stem_2(image), gated)
        fusion = list(zip(encoded, decoded, strict=True))
        _, decoded = _run(self.unet_2, self.skip_2, x, fusion)
        return MSDIOutput(self.last(decoded[0]) + image, intermediate)


def _run(
    unet: UNet, skips: nnx.List, x: Array, fusion: Sequence[tuple[Array, Array]] = ()
) -> tuple[list[Array], list[Array]]:
    """Return the features of encoder and decoder, finest first."""
    bottom, encoded = unet.encode(x, fusion)
    return encoded, unet.decode(bottom, encoded, lambda level, feature: skips[level](feature))
