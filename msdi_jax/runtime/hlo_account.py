"""What the text of an optimized XLA program says about its cost.

All figures are the compiler's account of one device, not measurements.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
# Instructions that start no kernel: names of values, control flow, and the ends of others.
_NO_KERNEL = {
    "after-all",
    "async-start",
    "bitcast",
    "call",
    "conditional",
    "constant",
    "get-tuple-element",
    "opt-barrier",
    "parameter",
    "partition-id",
    "replica-id",
    "tuple",
    "while",
}
# Instructions whose computations run as they are; all others are one kernel, or apply a function.
_CONTROL = ("async-start", "call", "conditional", "while")

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r"\s*([\w\-]+)\(")
_CALLEES = re.compile(
    r"\b(?:calls|to_apply|body|true_computation|false_computation)=%?([\w.\-]+)"
    r"|\bbranch_computations=\{([^}]*)\}"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_CYCLES = re.compile(r'"estimated_cycles":"?(\d+)')
_ORIGIN = re.compile(r'op_name="([^"]*)"')
_ARRAY = re.compile(r"\b([a-z]+)(\d*)\w*\[([\d,<= ]*)\]")


class Traffic(NamedTuple):
    """Collectives of one kind: how often they run in a step, and the bytes of their results."""

    count: int
    bytes: int


@dataclass(frozen=True)
class Instruction:
    """An instruction of an optimized program.

    Attributes:
        name: unique in the program.
        opcode: for example "fusion".
        type: of the result, with its layout.
        cycles: the compiler's estimate for one run; None if it makes none.
        origin: path of the JAX operations that it comes from.
        callees: computations that it refers to.
        trips: number of times that a loop runs its body; 1 for all else, and if it is unknown.
    """

    name: str
    opcode: str
    type: str
    cycles: int | None
    origin: str
    callees: tuple[str, ...]
    trips: int

    @property
    def bytes(self) -> int:
        """Size of the result, without the padding of its layout."""
        return sum(_array_bytes(*match) for match in _ARRAY.findall(self.type))

    @property
    def collective(self) -> str | None:
        """Kind of collective; pairs of start and end count at the end, which has the result."""
        kind = self.opcode.removesuffix("-done")
        return kind if kind in COLLECTIVES else None


class Run(NamedTuple):
    """An instruction with the number of times that it runs; in fusions, it is part of a kernel."""

    instruction: Instruction
    times: int
    fused: bool


class Program:
    """The instructions of an optimized program, from its text."""

    def __init__(self, text: str):
        self.computations, self.entry = _parse(text)

    def runs(self) -> Iterator[Run]:
        """Yield all instructions that the program runs."""
        yield from self._runs(self.entry, 1, fused=False)

    def _runs(self, computation: str, times: int, *, fused: bool) -> Iterator[Run]:
        for instruction in self.computations.get(computation, ()):
            yield Run(instruction, times, fused)
            opcode = instruction.opcode
            if opcode in _CONTROL or opcode == "fusion":
                for callee in instruction.callees:
                    inside = fused or opcode == "fusion"
                    yield from self._runs(callee, times * instruction.trips, fused=inside)

    def cycles(self) -> int | None:
        """Return the sum of the estimates, by runs; None if the compiler makes none."""
        cycles = [run.times * run.instruction.cycles for run in self.estimated()]
        return sum(cycles) if cycles else None

    def estimated(self) -> list[Run]:
        """Return the instructions with an estimate, the dearest first."""
        runs = [r for r in self.runs() if not r.fused and r.instruction.cycles is not None]
        return sorted(runs, key=lambda run: -run.times * run.instruction.cycles)

    def kernels(self) -> int:
        """Return the number of kernels that a GPU starts, each library call counted as one."""
        return sum(
            times
            for instruction, times, fused in self.runs()
            if not fused and instruction.opcode not in _NO_KERNEL
            if not instruction.opcode.endswith("-done")
        )

    def collectives(self) -> dict[str, Traffic]:
        """Return the collectives by kind."""
        total = {}
        for instruction, times, _ in self.runs():
            if kind := instruction.collective:
                count, size = total.get(kind, (0, 0))
                total[kind] = Traffic(count + times, size + times * instruction.bytes)
        return dict(sorted(total.items()))


def _parse(text: str) -> tuple[dict[str, list[Instruction]], str]:
    computations, entry, current = {}, "", []
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            current = computations.setdefault(header[2], [])
            entry = header[2] if header[1] else entry
        elif match := _INSTRUCTION.match(line):
            current.append(_instruction(match[1], match[2]))
    return computations, entry


def _instruction(name: str, definition: str) -> Instruction:
    end = _end_of_type(definition)
    opcode = _OPCODE.match(definition, end)
    names = (re.findall(r"[\w.\-]+", one or many) for one, many in _CALLEES.findall(definition))
    trips, cycles, origin = (p.search(definition) for p in (_TRIPS, _CYCLES, _ORIGIN))
    return Instruction(
        name,
        opcode[1] if opcode else "",
        definition[:end],
        int(cycles[1]) if cycles else None,
        origin[1] if origin else "",
        tuple(callee for group in names for callee in group),
        int(trips[1]) if trips else 1,
    )


def _end_of_type(definition: str) -> int:
    """Return the end of the type: of a tuple, the matching parenthesis."""
    if not definition.startswith("("):
        return definition.find(" ")
    depth = 0
    for match in re.finditer(r"[()]", definition):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.end()
    return len(definition)


def _array_bytes(kind: str, bits: str, dimensions: str) -> int:
    size = 1 if kind == "pred" else int(bits or 0) / 8
    for dimension in re.findall(r"\d+", dimensions):
        size *= int(dimension)
    return round(size)
