"""HIDE (Shen et al. 2019): people in motion, blurred by averaging the frames of a fast camera.

    directory = prepare("~/datasets", "~/downloads/HIDE_dataset")
    test = open_split(directory, "test")
    test[0]["blurry"], test[0]["sharp"]

Download the set by hand from its home page. Two layouts are read: the original, blurry images in
train/ and test/{test-close-ups,test-long-shot}/ with the sharp ones of equal names in GT/, and the
re-pack {train,test}/{input,target}/*.png, which usually holds the test split alone. Training tiles
of 512×512 px every 256 px, whole test frames.

Licence: none is stated, so ask the authors before you publish pictures or weights made from it.
"""

from pathlib import Path
from typing import ClassVar

from msdi_jax.data.paired import downloads
from msdi_jax.data.paired.pairs import Pair
from msdi_jax.data.photographs import images_below
from msdi_jax.data.records import open_split

__all__ = ["Builder", "find", "open_split", "prepare"]

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


def prepare(
    directory: str | Path,
    source: str | Path | None = None,
    *,
    accept_part: bool = False,
    raw: bool = False,
) -> Path:
    """Makes the set below `directory`, unless it is there already, and returns where it is.

    Args:
        directory: root of all sets; each gets its own place below.
        source: folder of the unpacked download. None: the set was prepared before, at or below
            `directory`.
        accept_part: whether other numbers than the published 6397 and 2025 pairs will do.
        raw: keep pixels as they are instead of as PNG: about six times the room on disc, and crops
            come four to five times as fast.

    Raises:
        ValueError: for an incomplete download or bad pairs (all are listed), before anything is
            written.
    """
    return downloads.prepare(Builder, directory, source, find, accept_part=accept_part, raw=raw)


def find(source: Path) -> dict[str, list[Pair]]:
    """The pairs of both splits, sorted by name, in whichever layout.

    Each frame counts as a photograph of its own: the names do not tell which belong together.
    GT/ holds the sharp images of both splits: those without a blurry one are not looked at.
    """
    return {part: _find_split(source, part) for part in Builder.PAIRS}


def _find_split(source: Path, part: str) -> list[Pair]:
    if (source / part / "input").is_dir():
        return downloads.find_repacked(source / part, str)
    blurry = [path for folder in _FOLDERS[part] for path in images_below(source / folder)]
    return [Pair(path.stem, path.stem, path, source / "GT" / path.name) for path in blurry]
