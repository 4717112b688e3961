"""What an inspection found, and how times and lives are put in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What something is.

    Attributes:
        kind: In a few words.
        facts: Label and value of each, in the order in which they are told; no secret.
        problems: What Google, or the configuration, would refuse it for.
    """

    kind: str
    facts: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = field(default=())


def told(moment: datetime, now: datetime) -> str:
    """Give a moment with its distance from now."""
    distance = span(abs(moment - now))
    return f"{moment:%FT%TZ} ({f'in {distance}' if moment > now else f'{distance} ago'})"


def span(duration: timedelta) -> str:
    """Give a duration in its two largest units."""
    seconds = int(duration.total_seconds())
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"
