"""Self-ensemble: the mean of what a network makes of an image in several orientations.

Timofte et al., "Seven Ways to Improve Example-Based Single Image Super Resolution", CVPR 2016.
"""

import itertools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Images = Float[np.ndarray, "b h w 3"]
Restorer = Callable[[Images], Images]

ORIENTATIONS = (1, 2, 4, 8)


def ensemble(restorer: Restorer, orientations: int) -> Restorer:
    """Wrap `restorer` so that it returns the mean, not clipped, over orientations.

    Args:
        restorer: images → restored images of the same shape.
        orientations: 1: the image alone; 2: also upside down; 4: these and their quarter turns;
            8: four turns of both.
    """
    # The flip first: it keeps the sides, and so the compiled program.
    chosen = list(itertools.product(range(4), (False, True)))[:orientations]
    if len(chosen) == 1:
        return restorer

    def restore(x: Images) -> Images:
        total = np.zeros(x.shape, np.float32)
        for turns, flip in chosen:
            y = np.rot90(x[:, ::-1] if flip else x, turns, (1, 2))
            y = np.asarray(restorer(np.ascontiguousarray(y)))
            y = np.rot90(y, -turns, (1, 2))
            total += y[:, ::-1] if flip else y
        return total / np.float32(len(chosen))

    return restore
