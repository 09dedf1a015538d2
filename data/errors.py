"""Unreadable images, and all problems of a source in one message, to be fixed at once."""

from collections.abc import Sequence

from PIL import Image

# Exceptions that Pillow raises for damaged files.
UNREADABLE = (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError)
_SHOWN = 20


def listing(problems: Sequence[str]) -> str:
    """Format problems one per line; a long list is shortened, with the number left out."""
    more = len(problems) - _SHOWN
    return "\n".join([*problems[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])
