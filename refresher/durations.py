"""Durations as people write them, `90s`, `15m`, `1h`, `1h30m`, and times as our files hold them.

The configuration file and the command line use durations. Which range is sensible is checked where one is used.
"""

import re
from datetime import UTC, datetime, timedelta

PATTERN = r"^(?!$)(?:\d{1,6}h)?(?:\d{1,6}m)?(?:\d{1,6}s)?$"
"""The form of the text, for JSON Schema."""

_DURATION = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")


def parse_duration(text: str) -> timedelta:
    """Read hours, minutes and seconds, in that order, each with its unit; the `ValueError` does not repeat the text."""
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        raise ValueError("it is not a duration such as 90s, 15m, 1h or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Write a duration of whole seconds in the shortest form that `parse_duration` reads back."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if count]
    return "".join(parts) or "0s"


def format_seconds(seconds: float) -> str:
    """Return seconds for people: with one decimal below ten, whole above."""
    return f"{f'{seconds:.1f}'.removesuffix('.0') if seconds < 10 else round(seconds)} s"  # noqa: PLR2004 - as above


def format_span(duration: timedelta) -> str:
    """Return a duration in its two largest units, for people: `1 d 2 h`, `59 min 57 s`."""
    seconds = int(duration.total_seconds())
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def format_time(moment: datetime) -> str:
    """Return a time in UTC and whole seconds, `2026-01-01T00:00:00Z` (RFC 3339), which is read back as it was written.

    A format with `%Y` would write the year 226 with three digits, which no reader accepts.
    """
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"
