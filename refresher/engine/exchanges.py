"""What the canary found out about the cloud side of an identity, for whatever shows it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from refresher.errors import RefresherError


class ExchangeState(StrEnum):
    """The last answer of Google's side about an identity; `unanswered` if it did not decide, or was not asked."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


def judge_failure(error: RefresherError) -> ExchangeState:
    """Return what a failed exchange or impersonation shows: a refusal, or no decision."""
    return ExchangeState.REFUSED if error.is_refusal else ExchangeState.UNANSWERED


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeHealth:
    """What is known of the cloud side of one identity; nothing in it is secret.

    Attributes:
        identity: Its name.
        target: The target whose token was tried.
        state: The answer.
        checked_at: When it came, UTC.
        accepted_at: When it was accepted last, UTC; None if it never was since the daemon started.
        failures: Probes in a row that were not accepted.
        problem: Why not; None if it was accepted.
        cause: Why that happens, in the words of `refresher.catalogue`; None where it has none.
        remedy: What to do about it.
        entry: The entry of `refresher.catalogue` that knows the failure; empty for no entry.
        is_local: Whether nothing left this machine, since what it is to ask with can't be used.
        next_at: When it is asked next, UTC; None for as soon as possible.
    """

    identity: str
    target: str
    state: ExchangeState
    checked_at: datetime
    accepted_at: datetime | None = None
    failures: int = 0
    problem: str | None = None
    cause: str | None = None
    remedy: str | None = None
    entry: str = ""
    is_local: bool = False
    next_at: datetime | None = None
