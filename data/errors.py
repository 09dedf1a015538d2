"""What is unreadable, and all faults of a source in one message, to be mended in one go."""

from collections.abc import Sequence

from PIL import Image

# What Pillow raises for damaged files.
UNREADABLE = (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError)
_SHOWN = 20


def listing(problems: Sequence[str]) -> str:
    """One per line; of a long list its beginning, and how many more there are."""
    more = len(problems) - _SHOWN
    return "\n".join([*problems[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])
