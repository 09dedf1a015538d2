"""Sizes of images in options."""


def sides(text: str, other: str = "") -> tuple[int, int]:
    """Return (height, width) in px of "HEIGHTxWIDTH".

    Raises:
        ValueError: the text is no such size; the message names `other` values that are allowed.
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ValueError(
            f"--size {text} must be HEIGHTxWIDTH in pixels, for example 720x1280{other}"
        )
    return int(height), int(width)
