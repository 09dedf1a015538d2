"""Values as the page writes them: a true minus sign, a dash for a missing value."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

STAGES = {"reblur": "Stage 1: reblurring", "deblur": "Stage 2: deblurring"}


def stages_of(config: Mapping) -> Sequence[str]:
    """The stages of a run; all where its configuration does not name them."""
    return config.get("stages", tuple(STAGES))


def text(value: Any) -> str:
    """Escaped for HTML."""
    return html.escape(str(value))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def number(value: Any, digits: int = 2, *, signed: bool = False) -> str:
    """Fixed digits; a dash for a value that is not a finite number."""
    if not is_number(value):
        return "∞" if value == math.inf else "–"
    # Adding 0.0 turns a rounded −0.00 into 0.00.
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def significant(value: Any, *, signed: bool = False) -> str:
    """Four significant digits."""
    if not is_number(value):
        return number(value)
    return f"{value:{'+' if signed else ''}.4g}".replace("-", "−")


def plain(value: Any) -> str:
    if value is None:
        return "not recorded"
    return f"{value:,}" if is_number(value) else str(value)


def count(total: Any, noun: str) -> str:
    if total is None:
        return f"{noun}s"
    return f"{plain(total)} {noun}{'' if total == 1 else 's'}"
