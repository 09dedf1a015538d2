"""Val photographs: a few of the training split that are not trained on, to choose weights by.

Weights chosen by test images would be tested on the images they were chosen for. So the training
split gives up some photographs, or scenes where several frames show one, with all their records.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from msdi_jax.data.photographs import unit_hash


@dataclasses.dataclass
class Subset(Sequence):
    """The records of `source` at `indices`."""

    source: Sequence[Mapping]
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Mapping:
        return self.source[self.indices[index]]


def val_photographs(photographs: Iterable[str], count: int) -> set[str]:
    """Choose `count` of the given names, which may repeat, for validation.

    The choice is by a hash, so that a photograph added to the set replaces at most one of them.

    Raises:
        ValueError: if no photograph would be left to train on.
    """
    ranked = sorted(set(photographs), key=unit_hash)
    if count >= len(ranked):
        raise ValueError(
            f"val={count} leaves nothing to train on: the training split has {len(ranked)} "
            "photographs or scenes; lower val, or train without validation (--config.val=0)"
        )
    return set(ranked[:count])


def split_off_val(
    source: Sequence[Mapping], photographs: Sequence[str], count: int
) -> tuple[Subset, Subset]:
    """Divide the training split into records to train on, and all records of val photographs.

    Args:
        source: records of the training split.
        photographs: the photograph or scene of each record, in the same order.
        count: number of val photographs; with 0 the second part is empty.

    Raises:
        ValueError: if no photograph would be left to train on.
    """
    val = val_photographs(photographs, count)
    sides = ([], [])
    for index, name in enumerate(photographs):
        sides[name in val].append(index)
    return Subset(source, sides[False]), Subset(source, sides[True])
