"""Self-ensemble: the mean of the restorations of flipped and rotated copies of an image."""

import itertools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

ORIENTATIONS = (1, 2, 4, 8)
Images = Float[np.ndarray, "b h w 3"]
Restorer = Callable[[Images], Images]


def ensemble(restorer: Restorer, orientations: int) -> Restorer:
    """Return a restorer that averages the unclipped results of `restorer` over orientations.

    Timofte et al., "Seven Ways to Improve Example-Based Single Image Super Resolution", 2016.

    Args:
        restorer: images → images of the same shape.
        orientations: 1 is the image itself, 2 adds it upside down, 4 adds a quarter turn of both,
            8 takes all four turns of both.
    """
    # The flip comes first: the shape, and so the compiled program, stays the same.
    chosen = list(itertools.product(range(4), (False, True)))[:orientations]
    if len(chosen) == 1:
        return restorer

    def restore(images: Images) -> Images:
        total = np.zeros(images.shape, np.float32)
        for turns, flip in chosen:
            turned = np.rot90(images[:, ::-1] if flip else images, turns, (1, 2))
            restored = np.asarray(restorer(np.ascontiguousarray(turned)))
            upright = np.rot90(restored, -turns, (1, 2))
            total += upright[:, ::-1] if flip else upright
        return total / np.float32(len(chosen))

    return restore
