"""The life of signing keys: next, active, retiring, gone. Pure: from the records of one moment to those of the next.

A provider accepts the keys that were uploaded to it, at most eight. So a key is uploaded before it signs (next), and
stays uploaded after it has signed for the last time until the last token that it signed has expired (retiring). There
is one active key at any time, and at most one next. Files are written in `refresher.keys.directory`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from refresher.errors import KeysError
from refresher.keys.registry import KeyRecord, KeyState
from refresher.limits import MOST_PUBLISHED_KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    Records = tuple[KeyRecord, ...]

SKEW = timedelta(minutes=10)
"""For clocks that differ, and for a token that is read just before it expires."""


def add(records: Sequence[KeyRecord], key: KeyRecord) -> Records:
    """Return the records with a next key.

    Raises:
        KeysError: Another key is next already, or the provider would not accept so many.
    """
    waiting = _select(records, KeyState.NEXT)
    if waiting:
        raise KeysError(
            f"key {waiting[0].kid} is next already and does not sign yet",
            "upload the JWKS and wait until the daemon activates the key; or run refresher keys activate; or revoke it",
        )
    if sum(record.state is not KeyState.GONE for record in records) >= MOST_PUBLISHED_KEYS:
        raise KeysError(
            f"{MOST_PUBLISHED_KEYS} keys are published already, the most that a provider accepts",
            "wait until the tokens of the retiring keys have expired, then run refresher keys retire",
        )
    return (*records, key)


def activate(records: Sequence[KeyRecord], kid: str | None, now: datetime, lifetime: timedelta) -> Records:
    """Return the records with the next key active and the active one retiring.

    Args:
        records: The records of all keys.
        kid: The id of the next key, if it must be a certain one.
        now: The wall clock's time.
        lifetime: The longest life of a token that the active key has signed.

    Raises:
        KeysError: No such key is next.
    """
    waiting = [record for record in _select(records, KeyState.NEXT) if kid in (None, record.kid)]
    if not waiting:
        problem = "no key is next" if kid is None else f"key {kid} is not next"
        raise KeysError(problem, "add one: refresher keys rotate; list all: refresher keys list")
    return tuple(
        replace(record, state=KeyState.ACTIVE, activated_at=now)
        if record.kid == waiting[0].kid
        else _retire(record, now, lifetime)
        for record in records
    )


def drop_retired(records: Sequence[KeyRecord], now: datetime) -> Records:
    """Return the records with those retiring keys gone whose last token has expired.

    Raises:
        KeysError: No such key exists; the message shows when one will.
    """
    retiring = _select(records, KeyState.RETIRING)
    if not retiring:
        raise KeysError("no key is retiring", "begin with: refresher keys rotate")
    due = {record.kid for record in retiring if record.keep_until is None or record.keep_until <= now}
    if not due:
        soonest = min(record.keep_until for record in retiring if record.keep_until is not None)
        raise KeysError(
            f"tokens of the retiring key may be in use until {soonest:%FT%TZ}",
            "wait until then; revoke a key that leaked instead: refresher keys revoke KID",
        )
    return tuple(_drop(record, now) if record.kid in due else record for record in records)


def revoke(records: Sequence[KeyRecord], kid: str, replacement: KeyRecord, now: datetime) -> Records:
    """Return the records with a key gone; if it was active, the next key signs, or the replacement if none is next.

    Raises:
        KeysError: There is no such key, or it is gone already.
    """
    key = next((record for record in records if record.kid == kid), None)
    if key is None or key.state is KeyState.GONE:
        known = ", ".join(record.kid for record in records if record.state is not KeyState.GONE)
        raise KeysError(f"{kid} is not a key that could be revoked", f"revoke one of: {known}")
    rest = tuple(_drop(record, now) if record is key else record for record in records)
    if key.state is not KeyState.ACTIVE:
        return rest
    if not _select(rest, KeyState.NEXT):
        rest = (*rest, replacement)
    return activate(rest, None, now, timedelta())


def _select(records: Sequence[KeyRecord], state: KeyState) -> list[KeyRecord]:
    return [record for record in records if record.state is state]


def _retire(record: KeyRecord, now: datetime, lifetime: timedelta) -> KeyRecord:
    if record.state is not KeyState.ACTIVE:
        return record
    return replace(record, state=KeyState.RETIRING, retiring_at=now, keep_until=now + lifetime + SKEW)


def _drop(record: KeyRecord, now: datetime) -> KeyRecord:
    return replace(record, state=KeyState.GONE, gone_at=now)
