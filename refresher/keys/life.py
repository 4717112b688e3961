"""The life of signing keys: next, active, retiring, gone. Pure: from the records of one moment to those of the next.

A provider accepts the keys that were uploaded to it, at most eight. So a key is uploaded before it signs (next), and
stays uploaded after it has signed for the last time until the last token that it signed is over (retiring). There is
one active key at any time, and at most one next. Files are `refresher.keys.changes`' business.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from refresher.errors import KeysError
from refresher.keys.registry import KeyRecord, KeyState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    Records = tuple[KeyRecord, ...]

MOST_PUBLISHED = 8
"""Keys that a provider takes in one upload (Google, workload identity pool providers, `jwksJson`)."""

LONGEST_LIFETIME = timedelta(days=1)
"""Of a subject token; Google refuses longer ones."""

SKEW = timedelta(minutes=10)
"""For clocks that differ, and for a token read just before its end."""


def added(records: Sequence[KeyRecord], key: KeyRecord) -> Records:
    """Add a next key.

    Raises:
        KeysError: One waits already, or the provider would not take so many.
    """
    waiting = _with_state(records, KeyState.NEXT)
    if waiting:
        raise KeysError(
            f"key {waiting[0].kid} is next already and does not sign yet",
            "upload the JWKS and let the daemon prove it, or: refresher keys activate; or revoke it",
        )
    if sum(record.state is not KeyState.GONE for record in records) >= MOST_PUBLISHED:
        raise KeysError(
            f"{MOST_PUBLISHED} keys are published already, the most that a provider takes",
            "wait until the retiring ones are over, then: refresher keys retire",
        )
    return (*records, key)


def activated(records: Sequence[KeyRecord], kid: str | None, now: datetime, lifetime: timedelta) -> Records:
    """Let the next key sign, and the active one retire.

    Args:
        records: Of all keys.
        kid: Of the next key, if it is to be a certain one.
        now: The wall clock's time.
        lifetime: The longest life of a token that the active key has signed.

    Raises:
        KeysError: No such key waits.
    """
    waiting = [record for record in _with_state(records, KeyState.NEXT) if kid in (None, record.kid)]
    if not waiting:
        named = "no key is next" if kid is None else f"key {kid} is not next"
        raise KeysError(named, "add one: refresher keys rotate; see what there is: refresher keys list")
    return tuple(
        replace(record, state=KeyState.ACTIVE, activated_at=now)
        if record.kid == waiting[0].kid
        else _retiring(record, now, lifetime)
        for record in records
    )


def retired(records: Sequence[KeyRecord], now: datetime) -> Records:
    """Let those retiring keys go whose last token is over.

    Raises:
        KeysError: There is none; the message says when there will be.
    """
    retiring = _with_state(records, KeyState.RETIRING)
    if not retiring:
        raise KeysError("no key is retiring", "begin with: refresher keys rotate")
    due = {record.kid for record in retiring if record.keep_until is None or record.keep_until <= now}
    if not due:
        soonest = min(record.keep_until for record in retiring if record.keep_until is not None)
        raise KeysError(
            f"tokens of the retiring key may be in use until {soonest:%FT%TZ}",
            "wait until then; a key that leaked is revoked instead: refresher keys revoke KID",
        )
    return tuple(_gone(record, now) if record.kid in due else record for record in records)


def revoked(records: Sequence[KeyRecord], kid: str, replacement: KeyRecord, now: datetime) -> Records:
    """Let a key go at once; if it signed, the next key signs in its place, or the replacement if none waits.

    Raises:
        KeysError: There is no such key, or it is gone already.
    """
    key = next((record for record in records if record.kid == kid), None)
    if key is None or key.state is KeyState.GONE:
        known = ", ".join(record.kid for record in records if record.state is not KeyState.GONE)
        raise KeysError(f"{kid} is no key that could be revoked", f"name one of: {known}")
    rest = tuple(_gone(record, now) if record is key else record for record in records)
    if key.state is not KeyState.ACTIVE:
        return rest
    if not _with_state(rest, KeyState.NEXT):
        rest = (*rest, replacement)
    return activated(rest, None, now, timedelta())


def _with_state(records: Sequence[KeyRecord], state: KeyState) -> list[KeyRecord]:
    return [record for record in records if record.state is state]


def _retiring(record: KeyRecord, now: datetime, lifetime: timedelta) -> KeyRecord:
    if record.state is not KeyState.ACTIVE:
        return record
    return replace(record, state=KeyState.RETIRING, retiring_at=now, keep_until=now + lifetime + SKEW)


def _gone(record: KeyRecord, now: datetime) -> KeyRecord:
    return replace(record, state=KeyState.GONE, gone_at=now)
