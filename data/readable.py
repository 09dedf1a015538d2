"""Damaged records: refused by name, or skipped."""

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow_datasets as tfds

from msdi_jax.data.validation import Subset


@dataclasses.dataclass
class SkipDamaged:
    """`source` with damaged records refused or skipped.

    Args:
        skip: return the next readable record instead, and print the damaged one's name once.
    """

    source: Sequence[Mapping]
    skip: bool = False
    reported: set[int] = dataclasses.field(default_factory=set)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Mapping:
        """Return a record.

        Raises:
            ValueError: naming a damaged record, if it may not be skipped.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"there is no record {index} among {len(self)}")
        for shift in range(len(self)):
            candidate = (int(index) + shift) % len(self)
            try:
                return self.source[candidate]
            # The decoders of the many formats raise exceptions of many types.
            except Exception as error:
                self._report(candidate, error)
        raise ValueError(f"none of the {len(self)} records can be read: prepare the set again")

    def undecoded(self) -> "SkipDamaged":
        """Return the same records with the encoded bytes of their images, if the set has them."""
        return SkipDamaged(_undecoded(self.source), self.skip)

    def _report(self, index: int, error: Exception) -> None:
        message = f"record {index} ({self._name(index)}) cannot be read: {error}"
        if not self.skip:
            raise ValueError(
                f"{message}; prepare the set again (or skip damaged training pairs with "
                "skip_damaged=True)"
            ) from error
        if index not in self.reported:
            self.reported.add(index)
            print(f"{message}; using the next one instead", flush=True)

    def _name(self, index: int) -> str:
        """Return the record's name, read without decoding its images."""
        try:
            return _undecoded(self.source)[index]["name"].decode()
        except Exception:
            return "its name cannot be read either"


def _undecoded(source: Sequence[Mapping]) -> Sequence[Mapping]:
    if isinstance(source, Subset):
        return dataclasses.replace(source, source=_undecoded(source.source))
    if not dataclasses.is_dataclass(source):
        return source
    skip = {key: tfds.decode.SkipDecoding() for key in ("blurry", "sharp")}
    return dataclasses.replace(source, decoders=skip)
