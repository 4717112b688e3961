"""Foreign text on its way to a person: on one line, without control characters, of bounded length."""

from __future__ import annotations

_LONGEST = 256


def escaped(text: str, *, longest: int = _LONGEST) -> str:
    """Give a text with every character that is not printable escaped as Python does, cut off if it is long.

    What it gives can be encoded, whatever undecodable bytes or lone surrogates were in the text.

    Args:
        text: From anybody.
        longest: How many of its characters are shown.
    """
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:longest])
    return shown if len(text) <= longest else f"{shown}…"
