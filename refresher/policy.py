"""When a token is fresh, due, overdue or expired, and when to try again: pure functions of time.

The rules are the contract's. With L the token's whole life: it is *due* at L/2 after issue, less a spread of at most
L/10; *overdue* when no more than the minimum validity, min(L/3, 6 min), is left; *expired* at its end. Six minutes,
because the most impatient clients (Node, C++, gcloud) exchange on every call below five. What a target's file holds is
read in `refresher.publishing`; what to do about it is decided in `refresher.engine`.
"""

import zlib
from datetime import datetime, timedelta
from enum import StrEnum

SHORT_LIFETIME = timedelta(minutes=10)
"""Below it, half a life is less than the five minutes that Node and C++ want to see left."""

CLOCK_SKEW = timedelta(seconds=30)
"""How far ahead `iat` may be before a token counts as issued in the future; real STS allows about 60 s."""

_PROBES_A_MINUTE = 60
"""Of all identities of a daemon together: a hundredth of what STS allows a project (6,000 a minute)."""
_TRANSIENT_BACKOFF = (timedelta(seconds=1), timedelta(minutes=1))
_PERMANENT_BACKOFF = (timedelta(seconds=30), timedelta(minutes=5))
_UNCHANGED_POLL = (timedelta(seconds=1), timedelta(seconds=30))
_SHORTEST_RETRY = timedelta(seconds=1)


class State(StrEnum):
    """What a target's token file is worth."""

    FRESH = "fresh"
    DUE = "due"
    OVERDUE = "overdue"
    EXPIRED = "expired"
    ABSENT = "absent"
    UNREADABLE = "unreadable"
    FOREIGN = "foreign"


def minimum_validity(lifetime: timedelta) -> timedelta:
    """Return the remaining life at which a token of this whole life is overdue."""
    return min(lifetime / 3, timedelta(minutes=6))


def spread(name: str, lifetime: timedelta) -> timedelta:
    """Return how much earlier than half its life this target's token is due: below L/10, and always the same."""
    return lifetime * (zlib.crc32(name.encode()) / 2**32) / 10


def due_at(name: str, issued_at: datetime, expires_at: datetime) -> datetime:
    """Return the moment from which a target's token should be replaced, UTC."""
    lifetime = expires_at - issued_at
    return issued_at + lifetime / 2 - spread(name, lifetime)


def overdue_at(issued_at: datetime, expires_at: datetime) -> datetime:
    """Return the moment from which a token has no more than its minimum validity left, UTC."""
    return expires_at - minimum_validity(expires_at - issued_at)


def is_from_the_future(issued_at: datetime, now: datetime) -> bool:
    """Return whether a token was issued later than now: the clock went back, and STS would refuse it."""
    return issued_at > now + CLOCK_SKEW


def compute_state(name: str, issued_at: datetime, expires_at: datetime, now: datetime) -> State:
    """Return the state of a token that a target's file holds, by its life alone."""
    if now >= expires_at:
        return State.EXPIRED
    if now >= overdue_at(issued_at, expires_at):
        return State.OVERDUE
    if now >= due_at(name, issued_at, expires_at) or is_from_the_future(issued_at, now):
        return State.DUE
    return State.FRESH


def retry_at(
    now: datetime,
    *,
    failures: int,
    retryable: bool,
    life: tuple[datetime, datetime] | None,
    draw: float,
    retry_after: timedelta | None = None,
) -> datetime:
    """Return the moment of the next attempt after a failure: capped exponential backoff with jitter.

    It is bounded by what is left to lose: never past the overdue point, and after that never more than a third of what
    is left until the file expires.

    Args:
        now: When the attempt failed.
        failures: Consecutive failures, this one included; at least 1.
        retryable: Whether it may pass by itself; what an operator must fix is tried again slowly.
        life: When what is in the file was issued and when it expires; None if there is nothing.
        draw: A random number in [0, 1), drawn once for this failure.
        retry_after: How long the server asks everybody to wait: no attempt is earlier, whatever is left to lose, and
            those of many targets are spread evenly after it.
    """
    first, limit = _TRANSIENT_BACKOFF if retryable else _PERMANENT_BACKOFF
    backoff = min(limit, first * (1 << min(failures - 1, 16)))
    earliest = now + (retry_after or timedelta())
    delay = backoff * (0.5 + draw / 2) if retry_after is None else retry_after + backoff * draw
    if life is None:
        return now + delay
    overdue = overdue_at(*life)
    if now < overdue:
        return max(earliest, min(now + delay, overdue))
    left = life[1] - now
    return max(earliest, now + (max(_SHORTEST_RETRY, min(delay, left / 3)) if left > timedelta() else delay))


def probe_interval(least: timedelta, identities: int) -> timedelta:
    """Return the time between two probes of an identity, of which there are so many: at least this long."""
    return max(least, timedelta(minutes=1) * identities / _PROBES_A_MINUTE)


def poll_at(now: datetime, expires_at: datetime) -> datetime:
    """Return the moment to ask a supplier again that handed out the same token as before."""
    earliest, latest = _UNCHANGED_POLL
    return now + max(earliest, min(latest, (expires_at - now) / 20))
