"""VGG19 up to relu5_1, for the perceptual term of stage 1 (Simonyan & Zisserman, 2015)."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from msdi_jax.networks.layers import Conv

# torchvision's index of each convolution up to conv5_1 → its input and output channels. The first
# convolution of each stage gives a feature; pooling comes before it, except in the first stage.
CONVOLUTIONS = {
    0: (3, 64), 2: (64, 64),
    5: (64, 128), 7: (128, 128),
    10: (128, 256), 12: (256, 256), 14: (256, 256), 16: (256, 256),
    19: (256, 512), 21: (512, 512), 23: (512, 512), 25: (512, 512),
    28: (512, 512),
}  # fmt: skip
STAGES = (0, 5, 10, 19, 28)
# Mean and standard deviation of the ImageNet images that the weights were trained on.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class VGG19(nnx.Module):
    """Features relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 of images in [0, 1].

    Args:
        normalise: first subtract ImageNet's mean and divide by its standard deviation, as the
            weights expect. The published training did not.
    """

    def __init__(self, *, normalise: bool = True, rngs: nnx.Rngs):
        self.normalise = normalise
        self.conv = nnx.Dict(
            {str(i): Conv(*channels, 3, rngs=rngs) for i, channels in CONVOLUTIONS.items()}
        )

    def __call__(self, image: Float[Array, "b h w 3"]) -> list[Array]:
        x, features = image, []
        if self.normalise:
            x = (x - jnp.asarray(MEAN, x.dtype)) / jnp.asarray(STD, x.dtype)
        for index in CONVOLUTIONS:
            if index in STAGES[1:]:
                x = nnx.max_pool(x, (2, 2), (2, 2))
            x = nnx.relu(self.conv[str(index)](x))
            if index in STAGES:
                features.append(x)
        return features
