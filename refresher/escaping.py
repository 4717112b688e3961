"""Foreign text on its way to a person: on one line, without control characters, of bounded length."""

from __future__ import annotations

_LONGEST = 256


def escaped(text: str) -> str:
    """Give a text with every character that is not printable escaped as Python does, cut off after 256 characters.

    What it gives can be encoded, whatever undecodable bytes or lone surrogates were in the text.
    """
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:_LONGEST])
    return shown if len(text) <= _LONGEST else f"{shown}…"
