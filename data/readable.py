"""Records that cannot be read are named, and refused or passed over."""

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow_datasets as tfds

from msdi_jax.data.validation import Part


@dataclasses.dataclass
class SkipDamaged:
    """`source`, with a say in what happens to damaged records.

    Args:
        skip: take the next readable record instead, and print the damaged one's name once.
    """

    source: Sequence[Mapping]
    skip: bool = False
    told: set[int] = dataclasses.field(default_factory=set)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Mapping:
        """Raises ValueError, naming the record, where it may not be passed over."""
        if not 0 <= index < len(self):
            raise IndexError(f"there is no record {index} among {len(self)}")
        for shift in range(len(self)):
            found = (int(index) + shift) % len(self)
            try:
                return self.source[found]
            # Whatever the decoders of the many formats raise.
            except Exception as error:
                self._tell(found, error)
        raise ValueError(f"none of the {len(self)} records can be read: prepare the set again")

    def undecoded(self) -> "SkipDamaged":
        """The records; of a prepared set with the bytes of the files for pictures."""
        return SkipDamaged(_undecoded(self.source), self.skip)

    def _tell(self, index: int, error: Exception) -> None:
        what = f"record {index} ({self._name(index)}) cannot be read: {error}"
        if not self.skip:
            raise ValueError(
                f"{what}; prepare the set again (or, of pairs to train on, pass over such ones by "
                "skip_damaged=True)"
            ) from error
        if index not in self.told:
            self.told.add(index)
            print(f"{what}; taking the next one instead", flush=True)

    def _name(self, index: int) -> str:
        """The record's name, read without decoding its pictures."""
        try:
            return _undecoded(self.source)[index]["name"].decode()
        except Exception:
            return "its name cannot be read either"


def _undecoded(source: Sequence[Mapping]) -> Sequence[Mapping]:
    if isinstance(source, Part):
        return dataclasses.replace(source, source=_undecoded(source.source))
    if not dataclasses.is_dataclass(source):
        return source
    skip = {key: tfds.decode.SkipDecoding() for key in ("blurry", "sharp")}
    return dataclasses.replace(source, decoders=skip)
