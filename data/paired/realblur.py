"""RealBlur (Rim et al. 2020): two cameras behind a beam splitter, one exposing long, one briefly.

J are the camera's own JPEGs, R was developed from raw. The sets of data/realblur_j and
data/realblur_r are the aligned versions that published figures are measured on, listed in
RealBlur_{J,R}_{train,test}_list.txt beside them. Sizes vary and are no multiples of 8.
"""

import functools
from pathlib import Path, PurePosixPath
from typing import ClassVar

from msdi_jax.data.errors import listing
from msdi_jax.data.paired import downloads
from msdi_jax.data.paired.pairs import Pair

FOLDERS = {
    # Spelt "itensity" in the download.
    "J": "RealBlur-J_ECC_IMCORR_centroid_itensity_ref",
    "R": "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref",
}


class RealBlurBuilder(downloads.PublishedBuilder, skip_registration=True):
    """No scene is in both splits. `KIND` is J or R."""

    KIND: str
    PAIRS: ClassVar = {"train": 3758, "test": 980}
    HOMEPAGE = "http://cg.postech.ac.kr/research/realblur"
    LICENCE = "CC BY 4.0"
    CITATION = """\
@inproceedings{rim2020real,
  title = {Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms},
  author = {Rim, Jaesung and Lee, Haeyun and Won, Jucheol and Cho, Sunghyun},
  booktitle = {European Conference on Computer Vision},
  year = {2020},
}
"""


def layout(kind: str) -> str:
    return (
        f"RealBlur_{kind}_{{train,test}}_list.txt and "
        f"{FOLDERS[kind]}/sceneXXX/{{blur/blur_*.png,gt/gt_*.png}}"
    )


def prepare(
    builder: type[RealBlurBuilder],
    directory: str | Path,
    source: str | Path | None = None,
    *,
    accept_part: bool = False,
    raw: bool = False,
) -> Path:
    """Makes the set below `directory`, unless it is there already, and returns where it is.

    Args:
        builder: of J or R.
        directory: root of all sets; each gets its own place below.
        source: folder of the unpacked download, with the lists inside. None: the set was prepared
            before, at or below `directory`.
        accept_part: whether other numbers than the published 3758 and 980 pairs will do; what is
            listed but has neither file is then left out.
        raw: keep pixels as they are instead of as PNG: about six times the room on disc, and crops
            come four to five times as fast.

    Raises:
        ValueError: for an incomplete download, unusable lists or bad pairs (all are listed),
            before anything is written.
    """
    search = functools.partial(find, kind=builder.KIND, accept_part=accept_part)
    return downloads.prepare(builder, directory, source, search, accept_part=accept_part, raw=raw)


def find(source: Path, kind: str, accept_part: bool = False) -> dict[str, list[Pair]]:
    """The pairs of both splits in the lists' order; no pairs where a list is missing.

    Raises:
        ValueError: for lists with unusable lines (all are listed).
    """
    problems: list[str] = []
    pairs = {
        part: _read(source / f"RealBlur_{kind}_{part}_list.txt", problems)
        for part in RealBlurBuilder.PAIRS
    }
    if problems:
        raise ValueError(f"{len(problems)} problems with the lists:\n{listing(problems)}")
    if accept_part:
        return {part: [pair for pair in group if _any(pair)] for part, group in pairs.items()}
    return pairs


def _read(file: Path, problems: list[str]) -> list[Pair]:
    if not file.is_file():
        return []
    pairs = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        # Some copies carry more columns behind these two.
        columns = [PurePosixPath(column) for column in line.split()[:2]]
        if [path.parent.name for path in columns] == ["gt", "blur"]:
            pairs.append(_pair(file.parent, *columns))
        elif columns:
            problems.append(f"{file}:{number}: not .../gt/FILE .../blur/FILE but {line.strip()!r}")
    return pairs


def _pair(root: Path, sharp: PurePosixPath, blurry: PurePosixPath) -> Pair:
    scene = blurry.parents[1].name
    return Pair(f"{scene}-{blurry.stem}", scene, root / blurry, root / sharp)


def _any(pair: Pair) -> bool:
    return pair.blurry.is_file() or pair.sharp.is_file()
