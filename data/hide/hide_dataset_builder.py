"""HIDE (Shen et al. 2019): people in motion, blurred by averaging the frames of a fast camera.

    directory = prepare("~/datasets", "~/downloads/HIDE_dataset")
    test = open_split(directory, "test")
    test[0]["blurry"], test[0]["sharp"]

Download the set by hand from its home page. Two layouts are read: the original, blurry images in
train/ and test/{test-close-ups,test-long-shot}/ with the sharp ones of equal names in GT/, and the
re-pack {train,test}/{input,target}/*.png, which usually holds the test split alone. Training tiles
of 512×512 px every 256 px, whole test frames.

Licence: none is stated; ask the authors before you publish images or weights made from it.
"""

from pathlib import Path
from typing import ClassVar

from msdi_jax.data.paired import downloads
from msdi_jax.data.paired.downloads import Settings
from msdi_jax.data.paired.pairs import Pair
from msdi_jax.data.photographs import images_below
from msdi_jax.data.records import open_split

__all__ = ["Builder", "Settings", "find_pairs", "open_split", "prepare"]

_FOLDERS = {"train": ("train",), "test": ("test/test-close-ups", "test/test-long-shot")}


class Builder(downloads.PublishedBuilder):
    """Splits train and test are the published ones."""

    PAIRS: ClassVar = {"train": 6397, "test": 2025}
    LAYOUT = (
        "train/*.png, test/{test-close-ups,test-long-shot}/*.png and GT/*.png, or "
        "{train,test}/{input,target}/*.png"
    )
    HOMEPAGE = "https://github.com/joanshen0508/HA_deblur"
    LICENCE = "none stated"
    CITATION = """\
@inproceedings{shen2019human,
  title = {Human-Aware Motion Deblurring},
  author = {Shen, Ziyi and Wang, Wenguan and Lu, Xiankai and Shen, Jianbing and Ling, Haibin
            and Xu, Tingfa and Shao, Ling},
  booktitle = {IEEE International Conference on Computer Vision},
  year = {2019},
}
"""


def prepare(directory: str | Path, source: str | Path | None = None, **fields) -> Path:
    """Prepare the set below `directory`, unless it exists, and return its path.

    Args:
        directory: root of all prepared sets.
        source: folder of the unpacked download.
        **fields: the other fields of `Settings`.

    Raises:
        ValueError: for an incomplete download or bad pairs (all are listed), before anything is
            written.
    """
    settings = Settings(source=source, **fields)
    return downloads.prepare_published(Builder, directory, settings, find_pairs)


def find_pairs(source: Path) -> dict[str, list[Pair]]:
    """Return the pairs of both splits of either layout, sorted by name.

    Each frame counts as a photograph of its own, since the names do not give the scene. GT/ holds
    the sharp images of both splits; those without a blurry image are not used.
    """
    return {part: _find_split(source, part) for part in Builder.PAIRS}


def _find_split(source: Path, part: str) -> list[Pair]:
    if (source / part / "input").is_dir():
        return downloads.find_repacked(source / part, str)
    blurry = [path for folder in _FOLDERS[part] for path in images_below(source / folder)]
    return [Pair(path.stem, path.stem, path, source / "GT" / path.name) for path in blurry]
