"""`keys.json`: which keys a directory holds, and their life: next, active, retiring, gone. Needs no cryptography.

`status` and `wait` look up here which key ids are still published; files are written in `refresher.keys.directory`.
A provider accepts the keys that were uploaded to it, at most eight. So a key is uploaded before it signs (next), and
stays uploaded after it has signed for the last time until the last token that it signed has expired (retiring). There
is one active key at any time, and at most one next. A change of the records is a pure function, which raises a
`KeysError` if it is not allowed.
"""

import json
import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from refresher.durations import format_time
from refresher.errors import KeysError
from refresher.files import VOLUME_REMEDY, UnsuitableFileError, is_volume, open_directory, read_regular, read_state
from refresher.keys.refusals import build_unowned, translate
from refresher.limits import MOST_PUBLISHED_KEYS
from refresher.users import find_prefix

Records = tuple["KeyRecord", ...]

REGISTRY = "keys.json"
_LARGEST = 1024 * 1024
_WORD = re.compile("[A-Za-z0-9_-]{1,128}")
_OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IRWXO
"""Group read is allowed: systemd credentials and mounted secrets have it."""

SKEW = timedelta(minutes=10)
"""For clocks that differ, and for a token that is read just before it expires."""


class KeyState(StrEnum):
    """Where a key is in its life."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRING = "retiring"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One key of a directory; each time is UTC, and None before its event.

    Attributes:
        kid: Its key id, the RFC 7638 thumbprint (SHA-256, base64url).
        algorithm: ES256 or RS256.
        activated_at: When it began to sign.
        retiring_at: When it ceased to sign.
        keep_until: Until when tokens that it signed may be in use; None as long as it signs.
        gone_at: When its public half was withdrawn.
    """

    kid: str
    algorithm: str
    state: KeyState
    created_at: datetime
    activated_at: datetime | None = None
    retiring_at: datetime | None = None
    keep_until: datetime | None = None
    gone_at: datetime | None = None


_TIMES = ("created_at", "activated_at", "retiring_at", "keep_until", "gone_at")


@contextmanager
def open_keys(directory: Path, *, user: int | None = None) -> Iterator[int]:
    """Open a keys directory for the length of a `with` block, and return its descriptor.

    It is a `KeysError` if it is absent, belongs to another user than root and `user` (the uid that is to use it; None
    for this process's), or others can read or write it.
    """
    descriptor = None
    try:
        descriptor = open_directory(directory)
        status = os.fstat(descriptor)
        allowed = stat.S_IROTH | stat.S_IXOTH if is_volume(directory) else stat.S_IXOTH
        if status.st_mode & (_OPEN_TO_OTHERS & ~allowed):
            problem = f"the keys directory {directory} can be read or written by others"
            remedy = VOLUME_REMEDY if is_volume(directory) else f"chmod 0700 {directory}"
            raise KeysError(f"{problem} (mode {stat.S_IMODE(status.st_mode):04o})", remedy)
        if user is not None and status.st_uid not in (0, user):
            problem = f"the keys directory {directory} belongs to uid {status.st_uid}, and the daemon is uid {user}"
            raise KeysError(problem, f"chown -R {user} {directory}")
        if user is None and status.st_uid not in (0, os.geteuid()):
            raise KeysError(
                f"the keys directory {directory} belongs to uid {status.st_uid}, and this runs as uid {os.geteuid()}",
                f"if that is the daemon's user, run this as it: put `{find_prefix(status.st_uid).strip()}` before the "
                f"command; else make the daemon's user own it: chown -R UID {shlex.quote(str(directory))}",
            )
        yield descriptor
    except OSError as error:
        raise translate(directory, error, user) from error
    finally:
        if descriptor is not None:
            os.close(descriptor)


def list_keys(directory: Path) -> Records:
    """Return all keys of a directory, oldest first; raises as `open_keys` and `read_registry` do.

    Root may look at any user's: who reads does not sign.
    """
    user = find_reader(directory)
    with open_keys(directory, user=user) as descriptor:
        return read_registry(descriptor, directory, user=user)


def find_reader(directory: Path) -> int | None:
    """Return whose keys are looked at, as `user` of `open_keys`: for root those of the directory's owner."""
    state = read_state(directory) if os.geteuid() == 0 else None
    return None if state is None else state.uid


def published_key_ids(directory: Path) -> frozenset[str]:
    """Return the ids of all keys whose public half is still to be trusted; raises as `open_keys` does.

    Tokens are judged by them, so that root trusts no other user's.
    """
    with open_keys(directory) as descriptor:
        records = read_registry(descriptor, directory)
    return frozenset(record.kid for record in records if record.state is not KeyState.GONE)


def list_faults(directory: Path, user: int | None) -> Iterator[KeysError]:
    """Return what keeps the daemon from using a keys directory and each key that is not gone in it.

    `user` is the daemon's uid; None if it is unknown: then it is taken to be the owner of the directory.
    """
    try:
        owner = directory.stat().st_uid if user is None else user
        with open_keys(directory, user=owner) as descriptor:
            records = read_registry(descriptor, directory, user=owner)
            if not any(record.state is KeyState.ACTIVE for record in records):
                yield miss_active_key(directory)
            for record in records:
                if record.state is not KeyState.GONE:
                    try:
                        read_key_file(descriptor, directory / f"{record.kid}.pem", user=owner)
                    except KeysError as error:
                        yield error
    except OSError as error:
        yield translate(directory, error, user)
    except KeysError as error:
        yield error


def miss_active_key(directory: Path) -> KeysError:
    """Return the error of a directory without a key that signs."""
    return KeysError(
        f"{directory} holds no active key: nothing can be signed",
        f"add one: refresher keys rotate --directory {directory}; upload the keys, and run: "
        f"refresher keys activate --directory {directory}",
    )


def read_registry(descriptor: int, directory: Path, *, user: int | None = None) -> Records:
    """Read `keys.json` of an open directory; it is a `KeysError` if it is absent, unreadable or not what we write."""
    content = read_key_file(descriptor, directory / REGISTRY, user=user)
    try:
        return tuple(_parse(entry) for entry in json.loads(content)["keys"])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise KeysError(f"{directory / REGISTRY} is damaged", "restore it from a backup of the directory") from error


def read_key_file(descriptor: int, path: Path, *, user: int | None = None) -> bytes:
    """Read a file of an open keys directory; symbolic links are followed, since mounted secrets consist of them.

    It is a `KeysError` if it is absent or unreadable, others can read or write it, or it belongs to another user than
    root and `user`, as of `open_keys`.
    """
    user = os.geteuid() if user is None else user

    def check(status: os.stat_result) -> None:
        if status.st_mode & _OPEN_TO_OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            problem = f"{path} can be read or written by others (mode {mode:04o}, uid {status.st_uid})"
            raise KeysError(problem, VOLUME_REMEDY if is_volume(path) else f"chmod 0400 {path}")
        if status.st_uid not in (0, user):
            problem = f"{path} belongs to uid {status.st_uid}, neither to root nor to the daemon (uid {user})"
            raise KeysError(problem, f"chown {user} {path}")
        if status.st_uid != user != os.geteuid() and not status.st_mode & stat.S_IRGRP:
            raise build_unowned(path, status.st_uid, user)

    try:
        return read_regular(path.name, most=_LARGEST, directory=descriptor, check=check)[0]
    except UnsuitableFileError as error:
        raise KeysError(f"{path} is {error}", "restore it from a backup of the directory") from error
    except OSError as error:
        state, owner = read_state(path.name, directory=descriptor), os.fstat(descriptor).st_uid
        if isinstance(error, PermissionError) and state is not None and state.uid != owner == user:
            raise build_unowned(path, state.uid, user) from error
        raise translate(path, error, user) from error


def compose_document(records: Iterable[KeyRecord]) -> dict[str, Any]:
    """Return `keys.json`: `{"version": 1, "keys": [{"kid": …, "algorithm": …, "state": …, …}]}`, times in UTC."""
    keys = [
        {name: format_time(value) if isinstance(value, datetime) else value for name, value in asdict(record).items()}
        for record in records
    ]
    return {"version": 1, "keys": keys}


def _parse(entry: dict[str, Any]) -> KeyRecord:
    kid, algorithm = entry["kid"], entry["algorithm"]
    if not (_WORD.fullmatch(kid) and _WORD.fullmatch(algorithm)):
        raise ValueError("neither a file name nor a word")
    known = {name: entry[name] for name in _TIMES if entry.get(name) is not None}
    times = {name: datetime.fromisoformat(time).astimezone(UTC) for name, time in known.items()}
    return KeyRecord(kid=kid, algorithm=algorithm, state=KeyState(entry["state"]), **times)


def add_key(records: Sequence[KeyRecord], key: KeyRecord) -> Records:
    """Return the records with a next key, unless another is next already or the provider would not accept so many."""
    if waiting := _select(records, KeyState.NEXT):
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


def activate_key(records: Sequence[KeyRecord], kid: str | None, now: datetime, lifetime: timedelta) -> Records:
    """Return the records with the next key active and the active one retiring.

    `kid` is the id of the next key, if it must be a certain one; `lifetime` is the longest life of a token that the
    active key has signed. It is a `KeysError` if no such key is next.
    """
    waiting = [record for record in _select(records, KeyState.NEXT) if kid in (None, record.kid)]
    if not waiting:
        problem = "no key waits to be activated" if kid is None else f"key {kid} is not next"
        raise KeysError(problem, "add one: refresher keys rotate; list all: refresher keys list")

    def change(record: KeyRecord) -> KeyRecord:
        if record.kid == waiting[0].kid:
            return replace(record, state=KeyState.ACTIVE, activated_at=now)
        if record.state is KeyState.ACTIVE:
            return replace(record, state=KeyState.RETIRING, retiring_at=now, keep_until=now + lifetime + SKEW)
        return record

    return tuple(map(change, records))


def drop_retired(records: Sequence[KeyRecord], now: datetime) -> Records:
    """Return the records with those retiring keys gone whose last token has expired; the error shows when one will."""
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


def revoke_key(records: Sequence[KeyRecord], kid: str, replacement: KeyRecord, now: datetime) -> Records:
    """Return the records with a key gone; if it was active, the next key signs, or the replacement if none is next.

    It is a `KeysError` if there is no such key, or it is gone already.
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
    return activate_key(rest, None, now, timedelta())


def _select(records: Sequence[KeyRecord], state: KeyState) -> list[KeyRecord]:
    return [record for record in records if record.state is state]


def _drop(record: KeyRecord, now: datetime) -> KeyRecord:
    return replace(record, state=KeyState.GONE, gone_at=now)
