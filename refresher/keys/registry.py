"""`keys.json`: which keys a directory holds, their algorithms, states and times. Reading it needs no cryptography.

`status` and `wait` look up here which key ids are still published; private halves are in `refresher.keys.directory`.
States follow a key's life: next, active, retiring, gone (contract, "The keys directory").
"""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from refresher.errors import KeysError
from refresher.files import UnsuitableFileError, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

REGISTRY = "keys.json"
_LARGEST = 1024 * 1024
_OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IRWXO
"""Group read is allowed: systemd credentials and mounted secrets have it."""


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
        created_at: When it was created, UTC.
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


_TIMES = ("created_at", "activated_at", "retiring_at", "keep_until", "gone_at")


@contextmanager
def open_keys(directory: Path) -> Iterator[int]:
    """Open a keys directory for the length of a `with` block, and return its descriptor.

    Raises:
        KeysError: It is absent, belongs to another user, or others can read or write it.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _translate(directory, error) from error
    try:
        status = os.fstat(descriptor)
        if status.st_uid not in (0, os.geteuid()):
            raise KeysError(
                f"the keys directory {directory} belongs to uid {status.st_uid}, and this runs as uid {os.geteuid()}",
                f"run this as uid {status.st_uid} if that is the daemon's user, else chown it to the daemon's user",
            )
        if status.st_mode & (_OPEN_TO_OTHERS & ~stat.S_IXOTH):
            mode = stat.S_IMODE(status.st_mode)
            raise KeysError(
                f"the keys directory {directory} can be read or written by others (mode {mode:04o})",
                f"chmod 0700 {directory}",
            )
        yield descriptor
    finally:
        os.close(descriptor)


def list_keys(directory: Path) -> tuple[KeyRecord, ...]:
    """Return all keys of a directory, oldest first.

    Raises:
        KeysError: The directory or its `keys.json` can't be used.
    """
    with open_keys(directory) as descriptor:
        return read_registry(descriptor, directory)


def published_key_ids(directory: Path) -> frozenset[str]:
    """Return the ids of all keys whose public half is still to be trusted: all but those that are gone.

    Raises:
        KeysError: The directory or its `keys.json` can't be used.
    """
    return frozenset(record.kid for record in list_keys(directory) if record.state is not KeyState.GONE)


def read_registry(descriptor: int, directory: Path) -> tuple[KeyRecord, ...]:
    """Read `keys.json` of an open directory.

    Raises:
        KeysError: It is absent, unreadable or not what we write.
    """
    content = read_key_file(descriptor, directory / REGISTRY)
    try:
        return tuple(_parse(entry) for entry in json.loads(content)["keys"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise KeysError(f"{directory / REGISTRY} is damaged", "restore it from a backup of the directory") from error


def read_key_file(descriptor: int, path: Path) -> bytes:
    """Read a file of an open keys directory; symbolic links are followed, since mounted secrets consist of them.

    Raises:
        KeysError: It is absent or unreadable, or others can read or write it.
    """

    def check(status: os.stat_result) -> None:
        if status.st_mode & _OPEN_TO_OTHERS or status.st_uid not in (0, os.geteuid()):
            raise KeysError(
                f"{path} can be read or written by others", f"chmod 0400 {path}, and chown it to the daemon's user"
            )

    try:
        return read_regular(path.name, most=_LARGEST, directory=descriptor, check=check)[0]
    except UnsuitableFileError as error:
        raise KeysError(f"{path} is {error}", "restore it from a backup of the directory") from error
    except OSError as error:
        raise _translate(path, error) from error


def compose_document(records: Iterable[KeyRecord]) -> dict[str, Any]:
    """Return `keys.json`: `{"version": 1, "keys": [{"kid": …, "algorithm": …, "state": …, …}]}`, times in UTC."""
    return {"version": 1, "keys": [_compose(record) for record in records]}


def _compose(record: KeyRecord) -> dict[str, Any]:
    return {name: f"{value:%FT%TZ}" if isinstance(value, datetime) else value for name, value in asdict(record).items()}


def _parse(entry: dict[str, Any]) -> KeyRecord:
    times = {name: entry.get(name) for name in _TIMES}
    return KeyRecord(
        kid=str(entry["kid"]),
        algorithm=str(entry["algorithm"]),
        state=KeyState(entry["state"]),
        **{name: datetime.fromisoformat(time).astimezone(UTC) for name, time in times.items() if time is not None},
    )


def _translate(path: Path, error: OSError) -> KeysError:
    if error.errno != errno.ENOENT:
        return KeysError(f"{path} cannot be read: {os.strerror(error.errno or 0)}", "make it readable for this user")
    if path.suffix == ".pem":
        return KeysError(f"{path} does not exist", "restore it from a backup, with mode 0400 for the daemon's user")
    return KeysError(f"{path} does not exist", "create the first key: refresher keys new --directory DIR")
