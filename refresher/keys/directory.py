"""The keys directory: make the first key, load the active one, give the public halves.

`KID.pem` holds a key, `keys.json` says which keys there are. A key counts only once `keys.json` names it, so a run that
ends between the two writes leaves a file that nobody uses. Files are replaced as tokens are, and under a lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from typing import TYPE_CHECKING, Any

from refresher.errors import KeysError
from refresher.keys.registry import (
    REGISTRY,
    KeyRecord,
    KeyState,
    as_document,
    list_keys,
    open_keys,
    read_file,
    read_registry,
)
from refresher.keys.signing import PrivateKey, UnsupportedKeyError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


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
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeysError(f"{directory} cannot be made: {error.strerror}", "choose a directory you may make") from error
    with open_keys(directory) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if (directory / REGISTRY).exists():
            kids = ", ".join(record.kid for record in read_registry(descriptor, directory))
            raise KeysError(
                f"{directory} holds keys already: {kids}",
                f"print their public half: refresher keys jwks --directory {directory}; or choose another directory",
            )
        key = PrivateKey.generate(algorithm)
        record = KeyRecord(kid=key.kid, algorithm=algorithm, state=KeyState.ACTIVE, created_at=now, activated_at=now)
        try:
            _replace(descriptor, f"{key.kid}.pem", key.to_pem())
            _replace(descriptor, REGISTRY, json.dumps(as_document([record]), indent=2).encode())
        except OSError as error:
            raise KeysError(f"{directory} cannot be written: {error.strerror}", "let this user write there") from error
    return record


def jwks(directory: Path) -> dict[str, Any]:
    """Give the JWKS (RFC 7517, section 5) of all keys but the gone: only what Google accepts in an upload.

    Raises:
        KeysError: The directory, its `keys.json` or one of the keys cannot be used.
    """
    published = [record for record in list_keys(directory) if record.state is not KeyState.GONE]
    return {"keys": [_load(directory, record).public_jwk for record in published]}


def load_signing_key(directory: Path) -> PrivateKey:
    """Load the active key; loading is slow (RSA 50 ms), so keep it.

    Raises:
        KeysError: There is no active key, or it cannot be used.
    """
    for record in list_keys(directory):
        if record.state is KeyState.ACTIVE:
            return _load(directory, record)
    raise KeysError(f"{directory} holds no active key", "make one in an empty directory: refresher keys new")


def _load(directory: Path, record: KeyRecord) -> PrivateKey:
    path = directory / f"{record.kid}.pem"
    try:
        with open_keys(directory) as descriptor:
            key = PrivateKey.from_pem(read_file(descriptor, path.name))
    except UnsupportedKeyError as error:
        raise KeysError(f"{path} cannot be used: {error}", "restore it from a backup, or make another key") from error
    except OSError as error:
        raise KeysError(
            f"{path} cannot be used: {error.strerror}", "restore it from a backup, with mode 0400 for the daemon's user"
        ) from error
    if key.kid != record.kid:
        raise KeysError(f"{path} holds another key, {key.kid}", "restore the key that its name says")
    return key


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
