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

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import tensorflow_datasets as tfds

from data import paired
from data.paired import Pair
from data.records import open_split

__all__ = ["Builder", "find", "open_split", "prepare"]

BLURS = ("blur", "blur_gamma")
PUBLISHED = {"train": 2103, "test": 1111}
_SHOWN = 4
_LAYOUTS = (
    "{train,test}/GOPRxxxx_xx_xx/{blur,blur_gamma,sharp}/*.png or {train,test}/{input,target}/*.png"
)
_CITATION = """\
@inproceedings{nah2017deep,
  title = {Deep Multi-Scale Convolutional Neural Network for Dynamic Scene Deblurring},
  author = {Nah, Seungjun and Kim, Tae Hyun and Lee, Kyoung Mu},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2017},
}
"""


class Builder(tfds.core.ShardBasedBuilder):
    """Splits train and test are the published ones, which share no sequence."""

    VERSION = tfds.core.Version("1.0.0")
    name = "gopro"

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=paired.features(),
            supervised_keys=("blurry", "sharp"),
            homepage="https://seungjunnah.github.io/Datasets/gopro",
            citation=_CITATION,
            license="CC BY 4.0",
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> Mapping[str, Sequence[Callable[[], Iterator]]]:
        del dl_manager  # nothing is downloaded
        return paired.shards(self.builder_config, self.name)


def prepare(
    directory: str | Path,
    source: str | Path,
    *,
    blur: Literal["blur", "blur_gamma"] = "blur",
    check_counts: bool = True,
) -> Path:
    """Makes the set below `directory`, unless it is there already, and returns where it is.

    Args:
        directory: root of all sets; each gets its own place below.
        source: folder of the unpacked download, with train/ and test/ inside.
        blur: which of the original's blurry frames to take.
        check_counts: whether anything but the published 2103 and 1111 pairs is refused.

    Raises:
        ValueError: for an incomplete download or bad pairs (all are listed), before anything is
            written.
    """
    source = Path(source).expanduser()
    pairs = find(source, blur)
    if check_counts:
        _check_counts(source, pairs)
    elif not any(pairs.values()):
        raise ValueError(f"{source} holds no pairs: expected {_LAYOUTS}")
    return paired.prepare(Builder, directory, paired.PairedConfig.for_pairs(blur, pairs))


def find(source: Path, blur: str = "blur") -> dict[str, list[Pair]]:
    """The pairs of both splits, sorted by name, in whichever layout.

    Raises:
        ValueError: when neither split is there, or the layout lacks this blur.
    """
    if blur not in BLURS:
        raise ValueError(f"blur={blur!r} is unknown: choose one of {', '.join(BLURS)}")
    if not any((source / part).is_dir() for part in PUBLISHED):
        raise ValueError(f"{source} has neither train/ nor test/ inside: expected {_LAYOUTS}")
    return {part: _find_split(source / part, blur) for part in PUBLISHED}


def _find_split(folder: Path, blur: str) -> list[Pair]:
    repacked = folder / "input"
    if repacked.is_dir():
        if blur != "blur":
            raise ValueError(
                f"{repacked} is of the re-pack, which was made from `blur`: for blur={blur!r} "
                "download the original"
            )
        return [_repacked(*files) for files in paired.match(repacked, folder / "target")]
    return [
        Pair(f"{sequence.name}-{PurePosixPath(name).stem}", sequence.name, blurry, sharp)
        for sequence in sorted(folder.glob("*/"))
        for name, blurry, sharp in paired.match(sequence / blur, sequence / "sharp")
    ]


def _repacked(name: str, blurry: Path, sharp: Path) -> Pair:
    stem = PurePosixPath(name).stem
    return Pair(stem, stem.rpartition("-")[0] or stem, blurry, sharp)


def _check_counts(source: Path, pairs: Mapping[str, Sequence[Pair]]) -> None:
    if {part: len(group) for part, group in pairs.items()} == PUBLISHED:
        return
    lines = [
        f"{part}: found {len(group)} pairs, expected {PUBLISHED[part]}; {_where(source, group)}"
        for part, group in pairs.items()
    ]
    raise ValueError(
        f"{source} is not the complete GoPro set, unpack or download it again, or accept a part "
        "with check_counts=False:\n" + "\n".join(lines)
    )


def _where(source: Path, pairs: Sequence[Pair]) -> str:
    counts = Counter(pair.blurry.parent.relative_to(source).as_posix() for pair in pairs)
    shown = [f"{folder} ({count})" for folder, count in sorted(counts.items())[:_SHOWN]]
    more = [f"and {len(counts) - _SHOWN} more"] if len(counts) > _SHOWN else []
    return f"{len(counts)} folders" + (": " if shown else "") + ", ".join(shown + more)
