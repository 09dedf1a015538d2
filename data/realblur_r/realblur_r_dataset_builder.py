"""RealBlur-R (Rim et al. 2020): real blur, developed from raw, with noise removed by BM3D.

    directory = prepare("~/datasets", "~/downloads/RealBlur")
    test = open_split(directory, "test")
    test[0]["blurry"], test[0]["sharp"]

Download the set by hand from its home page; data/paired/realblur.py describes the files. Training
tiles of 512×512 px every 256 px, whole test frames.

Licence: CC BY 4.0.
"""

from pathlib import Path

from msdi_jax.data.paired import realblur
from msdi_jax.data.paired.downloads import Settings
from msdi_jax.data.records import open_split

__all__ = ["Builder", "Settings", "open_split", "prepare"]


class Builder(realblur.RealBlurBuilder):
    """Splits train and test are the published ones."""

    KIND = "R"
    LAYOUT = realblur.layout(KIND)


def prepare(directory: str | Path, source: str | Path | None = None, **fields) -> Path:
    """Prepare the set with the fields of `Settings`; see `realblur.prepare_realblur`."""
    return realblur.prepare_realblur(Builder, directory, Settings(source=source, **fields))
