"""Check of all pairs before a set is prepared, so that all problems are reported at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from msdi_jax.data.errors import UNREADABLE, listing
from msdi_jax.data.paired.pairs import Pair
from msdi_jax.data.photographs import Photograph
from msdi_jax.data.shards import workers


def check_pairs(pairs: Mapping[str, Sequence[Pair]]) -> None:
    """Check that files decode to 8-bit RGB, pairs have one size, and names are unique in a split.

    Raises:
        ValueError: naming every file that is missing, unreadable or not 8-bit RGB, every pair of
            unequal sizes, and every name used twice.
    """
    everything = [pair for group in pairs.values() for pair in group]
    problems = [line for split, group in pairs.items() for line in _repeated(split, group)]
    progress = tqdm(total=len(everything), desc="checking", unit="pair")
    with progress, workers() as pool:
        for lines in pool.map(_problems, everything):
            progress.update()
            problems.extend(lines)
    if problems:
        # A file may be in several pairs.
        problems = list(dict.fromkeys(problems))
        raise ValueError(
            f"{len(problems)} problems with the pairs, fix or remove them:\n{listing(problems)}"
        )


def _repeated(split: str, pairs: Sequence[Pair]) -> list[str]:
    counts = Counter(pair.name for pair in pairs)
    return [
        f"{name}: {count} {split} pairs would have this name, rename their files"
        for name, count in counts.items()
        if count > 1
    ]


def _problems(pair: Pair) -> list[str]:
    partners = ((pair.blurry, pair.sharp), (pair.sharp, pair.blurry))
    if missing := [(path, other) for path, other in partners if not path.is_file()]:
        return [f"{path}: missing, the partner of {other}" for path, other in missing]
    if faults := [fault for path, _ in partners if (fault := _fault(path))]:
        return faults
    (height, width), sharp = (Photograph(pair.name, path).size() for path, _ in partners)
    if (height, width) != sharp:
        return [
            f"{pair.blurry}: {height}×{width} px, but {pair.sharp}: {sharp[0]}×{sharp[1]} px: "
            "pairs must have equal sizes"
        ]
    return []


def _fault(path: Path) -> str | None:
    try:
        with Image.open(path) as image:
            # Pillow reads 16-bit colour as RGB too, without the lower byte; the tiles reveal it.
            deep = any(";16" in str(tile[3]) for tile in image.tile)
            if image.mode != "RGB" or deep:
                kind = "16 bits per channel" if deep else f"mode {image.mode}"
                return f"{path}: {kind}, but 8-bit RGB is needed"
            image.load()
    except UNREADABLE as error:
        return f"{path}: {error}"
    return None
