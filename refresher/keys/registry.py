"""`keys.json`: which keys a directory holds, their algorithms, states and times. Reading it needs no cryptography.

`status` and `wait` ask here which key ids are still published; private halves are `refresher.keys.directory`'s.
States follow a key's life: next, active, retiring, gone (contract, "The keys directory").
"""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from refresher.errors import KeysError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

REGISTRY = "keys.json"
_LARGEST = 1024 * 1024
_WRITABLE = stat.S_IWGRP | stat.S_IRWXO


class KeyState(StrEnum):
    """Where a key is in its life."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRING = "retiring"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One key of a directory.

    Attributes:
        kid: Its key id, the RFC 7638 thumbprint (SHA-256, base64url).
        algorithm: ES256 or RS256.
        state: Where it is in its life.
        created_at: When it was made, UTC.
        activated_at: When it began to sign, UTC; None before.
        retiring_at: When it ceased to sign, UTC; None before.
        keep_until: Until when tokens that it signed may be in use, UTC; None as long as it signs.
        gone_at: When its public half was withdrawn, UTC; None before.
    """

    kid: str
    algorithm: str
    state: KeyState
    created_at: datetime
    activated_at: datetime | None = None
    retiring_at: datetime | None = None
    keep_until: datetime | None = None
    gone_at: datetime | None = None


_TIMES = ("activated_at", "retiring_at", "keep_until", "gone_at")


@contextmanager
def open_keys(directory: Path) -> Iterator[int]:
    """Give the descriptor of a keys directory that nobody else can read or write, for the length of a `with` block.

    Group read is allowed: systemd credentials and mounted secrets have it.

    Raises:
        KeysError: It is absent, somebody else's, or open to others.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(directory, error) from error
    try:
        status = os.fstat(descriptor)
        if status.st_uid not in (0, os.geteuid()):
            raise KeysError(
                f"the keys directory {directory} belongs to uid {status.st_uid}, and this runs as uid {os.geteuid()}",
                f"run this as uid {status.st_uid} if that is the daemon's, else chown it to uid {os.geteuid()}",
            )
        if status.st_mode & (_WRITABLE & ~stat.S_IXOTH):
            raise KeysError(
                f"the keys directory {directory} can be read or written by others (mode "
                f"{stat.S_IMODE(status.st_mode):04o})",
                f"chmod 0700 {directory}",
            )
        yield descriptor
    finally:
        os.close(descriptor)


def list_keys(directory: Path) -> tuple[KeyRecord, ...]:
    """Give all keys of a directory, oldest first.

    Raises:
        KeysError: The directory or its `keys.json` cannot be used.
    """
    with open_keys(directory) as descriptor:
        return read_registry(descriptor, directory)


def published_key_ids(directory: Path) -> frozenset[str]:
    """Give the ids of all keys whose public half is still to be trusted: all but the gone.

    Raises:
        KeysError: The directory or its `keys.json` cannot be used.
    """
    return frozenset(record.kid for record in list_keys(directory) if record.state is not KeyState.GONE)


def signature(directory: Path) -> object:
    """Give what changes when `keys.json` does; None where there is none."""
    try:
        status = (directory / REGISTRY).stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def read_registry(descriptor: int, directory: Path) -> tuple[KeyRecord, ...]:
    """Read `keys.json` of an open directory.

    Raises:
        KeysError: It is absent, unreadable or not what we write.
    """
    try:
        content = read_file(descriptor, REGISTRY)
    except OSError as error:
        raise _unreadable(directory / REGISTRY, error) from error
    try:
        return tuple(_record(entry) for entry in json.loads(content)["keys"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise KeysError(f"{directory / REGISTRY} is damaged", "restore it from a backup of the directory") from error


def read_file(descriptor: int, name: str) -> bytes:
    """Read a regular file of an open directory; links are followed, since mounted secrets consist of them.

    Raises:
        OSError: The system refused, or it is no regular file of a sensible size.
    """
    file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            raise OSError(errno.EINVAL, "it is no regular file of a sensible size")
        if status.st_mode & _WRITABLE or status.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it can be read or written by others")
        with os.fdopen(file, "rb", closefd=False) as opened:
            return opened.read()
    finally:
        os.close(file)


def as_document(records: Iterable[KeyRecord]) -> dict[str, Any]:
    """Give `keys.json`: `{"version": 1, "keys": [{"kid": …, "algorithm": …, "state": …, …}]}`, times in UTC."""
    return {"version": 1, "keys": [_entry(record) for record in records]}


def _entry(record: KeyRecord) -> dict[str, Any]:
    times = {name: getattr(record, name) for name in _TIMES}
    return {
        "kid": record.kid,
        "algorithm": record.algorithm,
        "state": record.state.value,
        "created_at": f"{record.created_at:%FT%TZ}",
        **{name: None if time is None else f"{time:%FT%TZ}" for name, time in times.items()},
    }


def _record(entry: dict[str, Any]) -> KeyRecord:
    times = {name: entry.get(name) for name in _TIMES}
    return KeyRecord(
        kid=str(entry["kid"]),
        algorithm=str(entry["algorithm"]),
        state=KeyState(entry["state"]),
        created_at=_instant(entry["created_at"]),
        **{name: None if time is None else _instant(time) for name, time in times.items()},
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _unreadable(path: Path, error: OSError) -> KeysError:
    if error.errno == errno.ENOENT:
        return KeysError(f"{path} does not exist", "make the first key: refresher keys new --directory DIR")
    if error.errno == errno.EPERM:
        return KeysError(f"{path} can be read or written by others", f"chmod 0400 {path}, and let the daemon own it")
    return KeysError(f"{path} cannot be read: {os.strerror(error.errno or 0)}", "let the daemon's user read it")
