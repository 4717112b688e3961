"""Text from outside on its way to a person: on one line, without control characters, of bounded length, no secret."""

from __future__ import annotations

_LONGEST = 256
_LONGEST_QUOTED = 64


def escape(text: str, *, longest: int = _LONGEST) -> str:
    """Return a text with every unprintable character escaped as Python does, cut off if it is long.

    The result can be encoded, whatever undecodable bytes or lone surrogates were in the text.

    Args:
        text: From any source.
        longest: How many of its characters are shown.
    """
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:longest])
    return shown if len(text) <= longest else f"{shown}…"


def quote(value: str) -> str:
    """Return a value in double quotes for a message; only the length of one that is long or looks like a secret."""
    if len(value) <= _LONGEST_QUOTED and value.isprintable() and "eyJ" not in value and "-----" not in value:
        return f'"{value}"'
    return f"a text of {len(value)} characters"
