"""Base of the builders of published sets: a download with a known number of pairs."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from msdi_jax.data.paired.builder import TILE, PairedBuilder, full_kind, prepare_pairs
from msdi_jax.data.paired.pairs import Pair, match_files
from msdi_jax.data.records import find_prepared

_SHOWN = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Fields of a published set.

    Attributes:
        source: folder of the unpacked download. None: the set was prepared before, at or below
            the directory.
        accept_part: accept another number of pairs than the published one.
        raw: store pixels uncompressed instead of as PNG. They take about six times the room on
            disk, and crops are read four to five times as fast.
    """

    source: str | Path | None = None
    accept_part: bool = False
    raw: bool = False


class PublishedBuilder(PairedBuilder, skip_registration=True):
    """Splits train and test are the published ones."""

    # split → pairs, and the layout of the unpacked download.
    PAIRS: ClassVar[Mapping[str, int]]
    LAYOUT: str


def prepare_published(
    builder: type[PublishedBuilder],
    directory: str | Path,
    settings: Settings,
    find_pairs: Callable[[Path], dict[str, list[Pair]]],
    kind: str = f"tile{TILE}",
) -> Path:
    """Prepare the set of `find_pairs(settings.source)` below `directory`, unless it exists.

    Returns:
        Its path. Without a source, that of the set which was prepared before.

    Raises:
        ValueError: if pairs are missing and `accept_part` is off; for bad pairs, see `check_pairs`,
            before anything is written; if there is neither a source nor a prepared set.
    """
    if settings.source is None:
        return find_prepared(directory, builder.name, full_kind(kind, settings.raw))
    source = Path(settings.source).expanduser()
    if not source.is_dir():
        raise ValueError(f"{source} is not a folder: expected {builder.LAYOUT}")
    pairs = find_pairs(source)
    if not any(pairs.values()):
        raise ValueError(f"{source} holds no pairs: expected {builder.LAYOUT}")
    if not settings.accept_part:
        _check_counts(builder, source, pairs)
    return prepare_pairs(builder, directory, kind, pairs, raw=settings.raw)


def find_repacked(folder: Path, scene: Callable[[str], str]) -> list[Pair]:
    """Return the pairs of `folder`/{input,target}; `scene` maps a file's stem to its scene."""
    return [
        Pair(Path(name).stem, scene(Path(name).stem), blurry, sharp)
        for name, blurry, sharp in match_files(folder / "input", folder / "target")
    ]


def _check_counts(
    builder: type[PublishedBuilder], source: Path, pairs: Mapping[str, Sequence[Pair]]
) -> None:
    if {part: len(group) for part, group in pairs.items()} == builder.PAIRS:
        return
    lines = [
        f"{part}: found {len(group)} pairs, expected {builder.PAIRS[part]}; {_where(source, group)}"
        for part, group in pairs.items()
    ]
    raise ValueError(
        f"{source} is not the complete set {builder.name} ({builder.LAYOUT}): unpack or download "
        "it again, or accept a part of it (accept_part=True, --accept-part):\n" + "\n".join(lines)
    )


def _where(source: Path, pairs: Sequence[Pair]) -> str:
    counts = Counter(pair.blurry.parent.relative_to(source).as_posix() for pair in pairs)
    shown = [f"{folder} ({count})" for folder, count in sorted(counts.items())[:_SHOWN]]
    more = [f"and {len(counts) - _SHOWN} more"] if len(counts) > _SHOWN else []
    return f"{len(counts)} folders" + (": " if shown else "") + ", ".join(shown + more)
