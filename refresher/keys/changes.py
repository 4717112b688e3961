"""The keys directory, changed: make the first key, add the next, let one sign, retire, go.

A key counts only once `keys.json` names it, so a run that ends between the two writes leaves a file that nobody uses.
Files are replaced as tokens are, and under a lock. Private halves of keys that are gone are removed. Which change is
allowed is decided in `refresher.keys.life`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from refresher.errors import KeysError
from refresher.keys import life
from refresher.keys.registry import REGISTRY, KeyRecord, KeyState, as_document, open_keys, read_registry
from refresher.keys.signing import PrivateKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")


def create(directory: Path, *, algorithm: str, now: datetime) -> KeyRecord:
    """Make the first key of a directory, which is made with mode 0700 if absent; the key is active at once.

    Args:
        directory: The keys directory.
        algorithm: ES256 or RS256.
        now: The wall clock's time.

    Raises:
        KeysError: There is a key already, or the directory cannot be used.
    """
    try:
        _make(directory)
    except OSError as error:
        raise KeysError(f"{directory} cannot be made: {error.strerror}", "choose a directory you may make") from error
    with _locked(directory) as descriptor:
        if (directory / REGISTRY).exists():
            kids = ", ".join(record.kid for record in read_registry(descriptor, directory))
            raise KeysError(
                f"{directory} holds keys already: {kids}",
                f"print their public half: refresher keys jwks --directory {directory}; add another: refresher keys "
                "rotate; or choose another directory",
            )
        key = PrivateKey.generate(algorithm)
        record = KeyRecord(kid=key.kid, algorithm=algorithm, state=KeyState.ACTIVE, created_at=now, activated_at=now)
        _replace(descriptor, f"{key.kid}.pem", key.to_pem())
        _write(descriptor, [record])
    return record


def rotate(directory: Path, *, algorithm: str | None, now: datetime) -> KeyRecord:
    """Add the next key; it signs nothing before `activate`. Give it.

    Args:
        directory: The keys directory.
        algorithm: ES256 or RS256; None for that of the active key.
        now: The wall clock's time.

    Raises:
        KeysError: One waits already, there are too many, or the directory cannot be used.
    """
    with _locked(directory) as descriptor:
        records = read_registry(descriptor, directory)
        key = PrivateKey.generate(algorithm or _algorithm_of(records))
        record = KeyRecord(kid=key.kid, algorithm=key.algorithm, state=KeyState.NEXT, created_at=now)
        after = life.added(records, record)
        _replace(descriptor, f"{key.kid}.pem", key.to_pem())
        _write(descriptor, after)
    return record


def activate(directory: Path, kid: str | None, *, lifetime: timedelta, now: datetime) -> KeyRecord:
    """Let the next key sign; the active one retires. Give the one that signs now.

    Args:
        directory: The keys directory.
        kid: Of the next key, if it is to be a certain one.
        lifetime: The longest life of a token that the active key has signed.
        now: The wall clock's time.

    Raises:
        KeysError: No such key waits, or the directory cannot be used.
    """
    with _locked(directory) as descriptor:
        after = life.activated(read_registry(descriptor, directory), kid, now, lifetime)
        _write(descriptor, after)
    return _active(after)


def retire(directory: Path, *, now: datetime) -> tuple[KeyRecord, ...]:
    """Let the retiring keys go whose last token is over, with their private halves; give them.

    Raises:
        KeysError: There is none, or the directory cannot be used.
    """
    with _locked(directory) as descriptor:
        records = read_registry(descriptor, directory)
        after = life.retired(records, now)
        _write(descriptor, after)
        return _remove_gone(descriptor, records, after)


def revoke(directory: Path, kid: str, *, now: datetime) -> KeyRecord:
    """Let a key go at once, with its private half; give the key that signs now.

    Raises:
        KeysError: There is no such key, or the directory cannot be used.
    """
    with _locked(directory) as descriptor:
        records = read_registry(descriptor, directory)
        key = PrivateKey.generate(_algorithm_of(records))
        replacement = KeyRecord(kid=key.kid, algorithm=key.algorithm, state=KeyState.NEXT, created_at=now)
        after = life.revoked(records, kid, replacement, now)
        if any(record.kid == key.kid for record in after):
            _replace(descriptor, f"{key.kid}.pem", key.to_pem())
        _write(descriptor, after)
        _remove_gone(descriptor, records, after)
    return _active(after)


def _make(directory: Path) -> None:
    """Make a directory, and those above it so that nobody else may write there, whatever the umask."""
    for parent in reversed(directory.parents):
        parent.mkdir(mode=0o755, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    with open_keys(directory) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            _sweep(descriptor)
            yield descriptor
        except OSError as error:
            raise KeysError(
                f"{directory} cannot be written: {os.strerror(error.errno or 0)}", "let this user write there"
            ) from error


def _algorithm_of(records: Sequence[KeyRecord]) -> str:
    return next((record.algorithm for record in records if record.state is KeyState.ACTIVE), "ES256")


def _active(records: Sequence[KeyRecord]) -> KeyRecord:
    return next(record for record in records if record.state is KeyState.ACTIVE)


def _remove_gone(descriptor: int, before: Sequence[KeyRecord], after: Sequence[KeyRecord]) -> tuple[KeyRecord, ...]:
    there = {record.kid for record in before if record.state is not KeyState.GONE}
    gone = tuple(record for record in after if record.state is KeyState.GONE and record.kid in there)
    for record in gone:
        with suppress(FileNotFoundError):
            os.unlink(f"{record.kid}.pem", dir_fd=descriptor)
    return gone


def _sweep(descriptor: int) -> None:
    """Remove what a killed run left half written: it may hold a private key."""
    for name in os.listdir(descriptor):
        if _TEMPORARY.fullmatch(name):
            os.unlink(name, dir_fd=descriptor)


def _write(descriptor: int, records: Sequence[KeyRecord]) -> None:
    _replace(descriptor, REGISTRY, json.dumps(as_document(records), indent=2).encode())


def _replace(directory: int, name: str, content: bytes) -> None:
    temporary = f".{name}.{secrets.token_hex(8)}.tmp"
    descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o400)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise
    os.fsync(directory)
