"""RealBlur (Rim et al. 2020): two cameras behind a beam splitter, with a long and a short exposure.

J are the camera's own JPEGs, R was developed from raw. The sets of data/realblur_j and
data/realblur_r are the aligned versions that published figures are measured on, listed in
RealBlur_{J,R}_{train,test}_list.txt next to them. Sizes vary and are not multiples of 8.
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
    """Return the layout of the unpacked download."""
    return (
        f"RealBlur_{kind}_{{train,test}}_list.txt and "
        f"{FOLDERS[kind]}/sceneXXX/{{blur/blur_*.png,gt/gt_*.png}}"
    )


def prepare_realblur(
    builder: type[RealBlurBuilder], directory: str | Path, settings: downloads.Settings
) -> Path:
    """Prepare the set below `directory`, unless it exists, and return its path.

    With `accept_part`, listed pairs that have neither file are left out.

    Raises:
        ValueError: for an incomplete download, unusable lists or bad pairs (all are listed),
            before anything is written.
    """
    search = functools.partial(find_pairs, kind=builder.KIND, accept_part=settings.accept_part)
    return downloads.prepare_published(builder, directory, settings, search)


def find_pairs(source: Path, kind: str, accept_part: bool = False) -> dict[str, list[Pair]]:
    """Return the pairs of both splits in the lists' order; none of a split without a list.

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
        # Some copies of the lists have further columns.
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
