"""GoPro (Nah et al. 2017): street scenes, blurred by averaging the frames of a fast camera.

    directory = prepare("~/datasets", "~/downloads/GOPRO_Large")
    train = open_split(directory, "train")
    train[0]["blurry"], train[0]["sharp"]

Download the set by hand from its home page. Two layouts are read: the original,
{train,test}/GOPRxxxx_xx_xx/{blur,blur_gamma,sharp}/000047.png, and the re-pack that later methods
pass around, {train,test}/{input,target}/GOPRxxxx_xx_xx-000047.png, made from `blur`. Both give the
same records: training tiles of 512×512 px every 256 px, whole test frames.

`blur` averages gamma-encoded frames, `blur_gamma` averages in linear light as a sensor would.
Published figures are those of `blur`.

Licence: CC BY 4.0.
"""

import functools
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from msdi_jax.data.paired import downloads
from msdi_jax.data.paired.pairs import Pair, match
from msdi_jax.data.records import open_split

__all__ = ["Builder", "find", "open_split", "prepare"]

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


def prepare(
    directory: str | Path,
    source: str | Path | None = None,
    *,
    blur: Literal["blur", "blur_gamma"] = "blur",
    accept_part: bool = False,
    raw: bool = False,
) -> Path:
    """Makes the set below `directory`, unless it is there already, and returns where it is.

    Args:
        directory: root of all sets; each gets its own place below.
        source: folder of the unpacked download, with train/ and test/ inside. None: the set was
            prepared before, at or below `directory`.
        blur: which of the original's blurry frames to take.
        accept_part: whether other numbers than the published 2103 and 1111 pairs will do.
        raw: keep pixels as they are instead of as PNG: about six times the room on disc, and crops
            come four to five times as fast.

    Raises:
        ValueError: for an incomplete download or bad pairs (all are listed), before anything is
            written.
    """
    if blur not in BLURS:
        raise ValueError(f"blur={blur!r} is unknown: choose one of {', '.join(BLURS)}")
    search = functools.partial(find, blur=blur)
    return downloads.prepare(
        Builder, directory, source, search, kind=blur, accept_part=accept_part, raw=raw
    )


def find(source: Path, blur: str = "blur") -> dict[str, list[Pair]]:
    """The pairs of both splits, sorted by name, in whichever layout.

    Raises:
        ValueError: when the layout lacks this blur.
    """
    return {part: _find_split(source / part, blur) for part in Builder.PAIRS}


def _find_split(folder: Path, blur: str) -> list[Pair]:
    repacked = folder / "input"
    if repacked.is_dir():
        if blur != "blur":
            raise ValueError(
                f"{repacked} is of the re-pack, which was made from `blur`: for blur={blur!r} "
                "download the original"
            )
        return downloads.find_repacked(folder, lambda stem: stem.rpartition("-")[0] or stem)
    return [
        Pair(f"{sequence.name}-{PurePosixPath(name).stem}", sequence.name, blurry, sharp)
        for sequence in sorted(folder.glob("*/"))
        for name, blurry, sharp in match(sequence / blur, sequence / "sharp")
    ]
