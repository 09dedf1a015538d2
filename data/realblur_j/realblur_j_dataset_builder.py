"""RealBlur-J (Rim et al. 2020): real blur, the camera's own JPEGs.

    directory = prepare("~/datasets", "~/downloads/RealBlur")
    test = open_split(directory, "test")
    test[0]["blurry"], test[0]["sharp"]

Download the set by hand from its home page; data/paired/realblur.py says what is read. Training
tiles of 512×512 px every 256 px, whole test frames.

Licence: CC BY 4.0.
"""

import functools

from msdi_jax.data.paired import realblur
from msdi_jax.data.records import open_split

__all__ = ["Builder", "open_split", "prepare"]


class Builder(realblur.RealBlurBuilder):
    """Splits train and test are the published ones."""

    KIND = "J"
    LAYOUT = realblur.layout(KIND)


prepare = functools.partial(realblur.prepare, Builder)
