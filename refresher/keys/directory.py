"""The keys directory: create the first key, add the next, activate, retire and revoke keys, load them.

`KID.pem` holds a key, `keys.json` lists the keys that there are. A key counts only once `keys.json` names it, so a run
that ends between the two writes leaves a file that nothing uses; the next change removes it. Files are replaced as
tokens are, and under a lock. Private halves of keys that are gone are removed. Which change is allowed is decided in
`refresher.keys.registry`. Each function raises a `KeysError` also if the directory, its `keys.json` or a key in it
can't be used.
"""

import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import Any

from refresher.errors import KeysError
from refresher.files import read_state
from refresher.keys import registry
from refresher.keys.jose import PrivateKey, UnsupportedKeyError
from refresher.keys.refusals import find_nearest
from refresher.keys.registry import REGISTRY, KeyRecord, KeyState, list_keys
from refresher.users import find_prefix

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK = ".lock"
PATIENCE = 5.0
"""How long to wait for another process that changes the keys, in seconds; it should take milliseconds."""
_PAUSE = 0.02
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
_KEY_FILE = re.compile(r"[A-Za-z0-9_-]{43}\.pem")
"""A key that this program wrote: its name is an RFC 7638 thumbprint."""


def create(directory: Path, *, algorithm: str, now: datetime) -> KeyRecord:
    """Create the first key of a directory, for ES256 or RS256; it is active at once.

    A directory that is absent is created with mode 0700; it is a `KeysError` if there is a key already, or root would
    create it below a directory of another user, who is the daemon's and could not use it.
    """
    around = read_state(find_nearest(directory))
    owner = 0 if around is None else around.uid
    if os.geteuid() == 0 != owner:
        raise KeysError(
            f"{directory} would belong to root, and uid {owner} owns the directory it is in",
            f"create it as that user: {find_prefix(owner)}refresher keys new --directory {quote(str(directory))}",
        )
    try:
        # with those above it, to which no other user can write, whatever the umask
        for parent in reversed(directory.parents):
            parent.mkdir(mode=0o755, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        problem = f"{directory} cannot be created: {error.strerror}"
        raise KeysError(problem, "choose a directory where you may write") from error
    with _lock(directory) as descriptor:
        if (directory / REGISTRY).exists():
            kids = ", ".join(record.kid for record in registry.read_registry(descriptor, directory))
            raise KeysError(
                f"{directory} holds keys already: {kids}",
                f"print their public half: refresher keys jwks --directory {quote(str(directory))}; add another: "
                f"refresher keys rotate --directory {quote(str(directory))}; or choose another directory",
            )
        key = PrivateKey.generate(algorithm)
        record = KeyRecord(kid=key.kid, algorithm=algorithm, state=KeyState.ACTIVE, created_at=now, activated_at=now)
        _write(descriptor, [record], key)
    return record


def rotate(directory: Path, *, algorithm: str | None, now: datetime) -> KeyRecord:
    """Add the next key, which signs nothing before it is activated, and return it.

    Without an algorithm (ES256 or RS256) it has that of the active key. It is a `KeysError` if a key is next already,
    or there are too many.
    """
    with _lock(directory) as descriptor:
        records = registry.read_registry(descriptor, directory)
        key, record = _generate(records, algorithm, now)
        _write(descriptor, registry.add_key(records, record), key)
    return record


def activate(directory: Path, kid: str | None, *, lifetime: timedelta, now: datetime) -> KeyRecord:
    """Activate the next key, retire the active one, and return the key that signs now.

    `kid` and `lifetime` are as for `refresher.keys.registry.activate_key`; it is a `KeysError` if no such key is next.
    """
    with _lock(directory) as descriptor:
        records = registry.activate_key(registry.read_registry(descriptor, directory), kid, now, lifetime)
        _write(descriptor, records)
    return _find_active(records)


def retire(directory: Path, *, now: datetime) -> tuple[KeyRecord, ...]:
    """Remove and return the retiring keys whose last token has expired; without one it is a `KeysError`."""
    with _lock(directory) as descriptor:
        before = registry.read_registry(descriptor, directory)
        after = registry.drop_retired(before, now)
        _write(descriptor, after)
    return tuple(record for record in after if record.state is KeyState.GONE and record not in before)


def revoke(directory: Path, kid: str, *, now: datetime) -> KeyRecord:
    """Remove a key at once, and return the key that signs now; it is a `KeysError` if there is no such key."""
    with _lock(directory) as descriptor:
        before = registry.read_registry(descriptor, directory)
        key, replacement = _generate(before, None, now)
        after = registry.revoke_key(before, kid, replacement, now)
        _write(descriptor, after, key if replacement.kid in {record.kid for record in after} else None)
    return _find_active(after)


def read_jwks(directory: Path) -> dict[str, Any]:
    """Return the JWKS (RFC 7517, section 5) of all keys that are not gone: only what Google accepts in an upload."""
    published = [record for record in list_keys(directory) if record.state is not KeyState.GONE]
    user = registry.find_reader(directory)
    return {"keys": [_load(directory, record, user=user).public_jwk for record in published]}


def load_signing_key(directory: Path) -> PrivateKey:
    """Load the active key; without one it is a `KeysError`. Loading is slow (RSA 50 ms), so keep it."""
    active = next((record for record in list_keys(directory) if record.state is KeyState.ACTIVE), None)
    if active is None:
        raise registry.miss_active_key(directory)
    return _load(directory, active)


def load_next_key(directory: Path, kid: str) -> PrivateKey:
    """Load a key that is next; it is a `KeysError` if it is not next any more."""
    for record in list_keys(directory):
        if record.kid == kid and record.state is KeyState.NEXT:
            return _load(directory, record)
    raise KeysError(
        f"{directory} holds no next key {kid}",
        f"list its keys: refresher keys list --directory {quote(str(directory))}",
    )


def _load(directory: Path, record: KeyRecord, *, user: int | None = None) -> PrivateKey:
    path = directory / f"{record.kid}.pem"
    with registry.open_keys(directory, user=user) as descriptor:
        content = registry.read_key_file(descriptor, path, user=user)
    try:
        key = PrivateKey.from_pem(content)
    except UnsupportedKeyError as error:
        raise KeysError(f"{path} cannot be used: {error}", "restore it from a backup, or create another key") from error
    if key.kid != record.kid:
        raise KeysError(f"{path} holds another key, {key.kid}", "restore the key that the file is named after")
    return key


@contextmanager
def _lock(directory: Path) -> Iterator[int]:
    """Open a directory to change it, by one process at a time.

    The lock is on a file that only the daemon's user can open: every user who may read the directory could lock the
    directory itself for ever.
    """
    with registry.open_keys(directory) as descriptor:
        lock = None
        try:
            lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=descriptor)
            _take(lock, directory)
            for name in os.listdir(descriptor):  # noqa: PTH208 - relative to the descriptor
                if _TEMPORARY.fullmatch(name):  # of a killed run: it may hold a private key
                    os.unlink(name, dir_fd=descriptor)
            yield descriptor
        except OSError as error:
            problem = f"{directory} cannot be locked or written: {os.strerror(error.errno or 0)}"
            raise KeysError(problem, "make it writable for this user") from error
        finally:
            if lock is not None:
                os.close(lock)


def _take(lock: int, directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = _find_holder(lock)
                problem = f"{directory} has been locked for {PATIENCE:.0f} s by {holder or 'another process'}"
                raise KeysError(problem, f"end that process{f': kill {holder.split()[1]}' if holder else ''}") from None
            time.sleep(_PAUSE)


def _find_holder(lock: int) -> str | None:
    """Return the process that holds a lock, as `process ID (NAME)`; None if it can't be known (proc(5), `locks`)."""
    status = os.fstat(lock)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if place in fields and "->" not in fields:
                return f"process {fields[4]} ({Path('/proc', fields[4], 'comm').read_text().strip()})"
    return None


def _generate(records: Sequence[KeyRecord], algorithm: str | None, now: datetime) -> tuple[PrivateKey, KeyRecord]:
    """Generate a next key, by default with the algorithm of the active one."""
    usual = next((record.algorithm for record in records if record.state is KeyState.ACTIVE), "ES256")
    key = PrivateKey.generate(algorithm or usual)
    return key, KeyRecord(kid=key.kid, algorithm=key.algorithm, state=KeyState.NEXT, created_at=now)


def _find_active(records: Sequence[KeyRecord]) -> KeyRecord:
    return next(record for record in records if record.state is KeyState.ACTIVE)


def _write(descriptor: int, records: Sequence[KeyRecord], key: PrivateKey | None = None) -> None:
    """Write a new key if there is one, then `keys.json`; then remove every key that is gone, or was never listed.

    Without a `keys.json` before, no key is removed: it may have been lost, and be restored from a backup.
    """
    names = os.listdir(descriptor)
    if key is not None:
        _replace(descriptor, f"{key.kid}.pem", key.to_pem())
    _replace(descriptor, REGISTRY, json.dumps(registry.compose_document(records), indent=2).encode())
    kept = {f"{record.kid}.pem" for record in records if record.state is not KeyState.GONE}
    for name in names:
        if REGISTRY in names and _KEY_FILE.fullmatch(name) and name not in kept:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=descriptor)


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
