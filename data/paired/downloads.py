"""What the builders of published sets share: a download whose number of pairs is known."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from msdi_jax.data.paired.builder import TILE, PairedBuilder, named
from msdi_jax.data.paired.builder import prepare as prepare_pairs
from msdi_jax.data.paired.pairs import Pair, match
from msdi_jax.data.records import find_prepared

_SHOWN = 4


class PublishedBuilder(PairedBuilder, skip_registration=True):
    """Splits train and test are the published ones."""

    # split → pairs, and the layout of the unpacked download.
    PAIRS: ClassVar[Mapping[str, int]]
    LAYOUT: str


def prepare(
    builder: type[PublishedBuilder],
    directory: str | Path,
    source: str | Path | None,
    find: Callable[[Path], dict[str, list[Pair]]],
    *,
    kind: str = f"tile{TILE}",
    accept_part: bool,
    raw: bool,
) -> Path:
    """Makes the set of `find(source)` below `directory`, or finds the one there for source None.

    Raises:
        ValueError: unless all pairs are there, or some with `accept_part`; for bad pairs, see
            `paired.prepare`, before anything is written; for no source and no prepared set.
    """
    if source is None:
        return find_prepared(directory, builder.name, named(kind, raw))
    source = Path(source).expanduser()
    if not source.is_dir():
        raise ValueError(f"{source} is not a folder: expected {builder.LAYOUT}")
    pairs = find(source)
    if not any(pairs.values()):
        raise ValueError(f"{source} holds no pairs: expected {builder.LAYOUT}")
    if not accept_part:
        _check_counts(builder, source, pairs)
    return prepare_pairs(builder, directory, kind, pairs, raw=raw)


def find_repacked(folder: Path, scene: Callable[[str], str]) -> list[Pair]:
    """The pairs of `folder`/{input,target}; `scene` of a name without its ending."""
    return [
        Pair(Path(name).stem, scene(Path(name).stem), blurry, sharp)
        for name, blurry, sharp in match(folder / "input", folder / "target")
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
