"""Durations as people write them, `90s`, `15m`, `1h30m`: on the command line and in the configuration alike."""

from __future__ import annotations

import re
from datetime import timedelta

_FORM = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Read a duration of whole hours, minutes and seconds, in this order, at least one of them.

    Raises:
        ValueError: It is written otherwise, or longer than time goes.
    """
    match = _FORM.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is no duration such as 90s, 15m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    try:
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise ValueError(f"{text!r} is longer than time goes") from None


def format_duration(duration: timedelta) -> str:
    """Write a duration the same way, rounded down to whole seconds; `0s` for nothing."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
