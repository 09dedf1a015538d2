"""GoPro (Nah et al. 2017): street scenes, blurred by averaging the frames of a fast camera.

    directory = prepare("~/datasets", "~/downloads/GOPRO_Large")
    train = open_split(directory, "train")
    train[0]["blurry"], train[0]["sharp"]

Download the set by hand from its home page. Two layouts are read: the original,
{train,test}/GOPRxxxx_xx_xx/{blur,blur_gamma,sharp}/000047.png, and the re-pack that later methods
distribute, {train,test}/{input,target}/GOPRxxxx_xx_xx-000047.png, made from `blur`. Both give the
same records: training tiles of 512×512 px every 256 px, whole test frames.

`blur` averages gamma-encoded frames, `blur_gamma` averages in linear light as a sensor would.
Published figures are those of `blur`.

Licence: CC BY 4.0.
"""

import dataclasses
import functools
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from msdi_jax.data.paired import downloads
from msdi_jax.data.paired.pairs import Pair, match_files
from msdi_jax.data.records import open_split

__all__ = ["Builder", "Settings", "find_pairs", "open_split", "prepare"]

BLURS = ("blur", "blur_gamma")


class Builder(downloads.PublishedBuilder):
    """No sequence is in both splits."""

    PAIRS: ClassVar = {"train": 2103, "test": 1111}
    LAYOUT = (
        "{train,test}/GOPRxxxx_xx_xx/{blur,blur_gamma,sharp}/*.png or "
        "{train,test}/{input,target}/*.png"
    )
    HOMEPAGE = "https://seungjunnah.github.io/Datasets/gopro"
    LICENCE = "CC BY 4.0"
    CITATION = """\
@inproceedings{nah2017deep,
  title = {Deep Multi-Scale Convolutional Neural Network for Dynamic Scene Deblurring},
  author = {Nah, Seungjun and Kim, Tae Hyun and Lee, Kyoung Mu},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2017},
}
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(downloads.Settings):
    """Fields of the set.

    Attributes:
        blur: which of the original's blurry frames to use.
    """

    blur: Literal["blur", "blur_gamma"] = "blur"

    def __post_init__(self):
        if self.blur not in BLURS:
            raise ValueError(
                f"dataset.blur={self.blur!r} is unknown: choose one of {', '.join(BLURS)}"
            )


def prepare(directory: str | Path, source: str | Path | None = None, **fields) -> Path:
    """Prepare the set below `directory`, unless it exists, and return its path.

    Args:
        directory: root of all prepared sets.
        source: folder of the unpacked download, with train/ and test/ inside.
        **fields: the other fields of `Settings`.

    Raises:
        ValueError: for an incomplete download or bad pairs (all are listed), before anything is
            written.
    """
    settings = Settings(source=source, **fields)
    search = functools.partial(find_pairs, blur=settings.blur)
    return downloads.prepare_published(Builder, directory, settings, search, settings.blur)


def find_pairs(source: Path, blur: str = "blur") -> dict[str, list[Pair]]:
    """Return the pairs of both splits of either layout, sorted by name.

    Raises:
        ValueError: if the layout does not hold this blur.
    """
    return {part: _find_split(source / part, blur) for part in Builder.PAIRS}


def _find_split(folder: Path, blur: str) -> list[Pair]:
    repacked = folder / "input"
    if repacked.is_dir():
        if blur != "blur":
            raise ValueError(
                f"{repacked} is of the re-pack, which was made from `blur`: for "
                f"dataset.blur={blur!r} download the original"
            )
        return downloads.find_repacked(folder, lambda stem: stem.rpartition("-")[0] or stem)
    return [
        Pair(f"{sequence.name}-{PurePosixPath(name).stem}", sequence.name, blurry, sharp)
        for sequence in sorted(folder.glob("*/"))
        for name, blurry, sharp in match_files(sequence / blur, sequence / "sharp")
    ]
