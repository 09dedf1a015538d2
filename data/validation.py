"""Photographs of the training split that are not trained on, to choose weights by.

Whoever chooses among weights by the test images has tested on what was chosen for them. The
training split gives up a few photographs instead, or scenes where there are several frames of one,
with all that was made of them.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from msdi_jax.data.photographs import unit_hash


@dataclasses.dataclass
class Part(Sequence):
    """The records of `source` at `indices`."""

    source: Sequence[Mapping]
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Mapping:
        return self.source[self.indices[index]]


def held_back(photographs: Iterable[str], count: int) -> set[str]:
    """`count` names of those given, once or several times each, to keep from training.

    They are drawn by a hash, so that another photograph displaces one at most.

    Raises:
        ValueError: when none would be left to train on.
    """
    ranked = sorted(set(photographs), key=unit_hash)
    if count >= len(ranked):
        raise ValueError(
            f"val={count} leaves nothing to train on: the training split is of "
            f"{len(ranked)} photographs or scenes; lower it"
        )
    return set(ranked[:count])


def divide(source: Sequence[Mapping], photographs: Sequence[str], count: int) -> tuple[Part, Part]:
    """What is trained on, and what is held back: all records of `count` photographs.

    Args:
        source: of the training split.
        photographs: that its records are of, in their order.
        count: see `held_back`.

    Raises:
        ValueError: when nothing would be left to train on.
    """
    aside = held_back(photographs, count)
    sides = ([], [])
    for index, name in enumerate(photographs):
        sides[name in aside].append(index)
    return Part(source, sides[False]), Part(source, sides[True])
