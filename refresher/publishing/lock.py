"""Decide who may write below a `directory_root`: one daemon, and one process at a time in one credentials directory.

Both are locks on ranges of one file, `directory_root/.lock`, which only the daemon's user can open: a lock on a
directory itself could be taken, and kept, by any user who can read it. The locks belong to the open file
(`F_OFD_SETLK`, fcntl(2)), so that they hold between threads too and end with the process. On a file system without
locks, and in a root in which the daemon may create no file, nothing is locked.
"""

import errno
import fcntl
import hashlib
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from refresher.errors import PublishError
from refresher.publishing.artifacts import RECORD
from refresher.publishing.atomic import build_publish_error
from refresher.publishing.walk import LOCK, InsecureDirectoryError, open_root

PATIENCE = 10.0
"""How long to wait for another process that writes into a directory, in seconds; it should take milliseconds."""

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DAEMON = 0
"""The byte that a daemon holds; directories have the others."""
_FLOCK = "hhqqi0q"
"""`struct flock` of fcntl(2): type, where start counts from, start, length, process."""
_PAUSE = 0.01
_HELD = (errno.EAGAIN, errno.EACCES)
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class RootHeldError(PublishError):
    """Another daemon keeps the targets below the same root."""

    usually_retryable = False


class DirectoryHeldError(PublishError):
    """Another process has been writing into a credentials directory for too long."""


@contextmanager
def held_roots() -> Iterator[Callable[[Path], bool]]:
    """Yield a function that takes a root as the daemon, until the end of a `with` block.

    Taking it again looks whether the lock that is held is still the root's: a root that was removed, unmounted, or
    covered by a mount is taken again, so that no second daemon can, and only then the function returns True. Other
    commands may publish meanwhile. It raises:
        RootHeldError: Another process holds it.
        PublishError: It can't be opened, or not be trusted.
    """
    held: dict[Path, int | None] = {}

    def hold(root: Path) -> bool:
        if root in held and _is_lock_of(root, held[root]):
            return False
        directory = open_root(root, create=True)
        try:
            descriptor = _open(directory, root)
        finally:
            os.close(directory)
        if descriptor is not None and not _take(descriptor, _DAEMON):
            os.close(descriptor)
            raise RootHeldError(
                f"another daemon already publishes below {root}",
                "stop it, or configure another directory_root for this one",
            )
        former, held[root] = held.get(root), descriptor
        if former is None:
            return False
        os.close(former)
        return True

    try:
        yield hold
    finally:
        for descriptor in held.values():
            if descriptor is not None:
                os.close(descriptor)


def _is_lock_of(root: Path, descriptor: int | None) -> bool:
    """Return whether an open lock is the one that lies in the root now; without one, there may be one now."""
    if descriptor is None:
        return False
    try:
        return os.path.samestat((root / LOCK).lstat(), os.fstat(descriptor))
    except OSError:
        return False


@contextmanager
def open_lock(root: Path, *, is_shared: bool = False) -> Iterator[tuple[int, int | None]]:
    """Open a root to write in it, and its lock, for the length of a `with` block, which ends what was taken on it.

    The root is created if it is absent; `is_shared` is that of `open_root`. The lock is None where it can't be created:
    in a root that the daemon may not write to, or on a read-only file system. Raises a `PublishError` if one of them
    can't be opened, or not be trusted.
    """
    directory, descriptor = open_root(root, create=True, is_shared=is_shared), None
    try:
        descriptor = _open(directory, root)
        yield directory, descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)
        os.close(directory)


def is_daemon_running(root: Path) -> bool | None:
    """Return whether a daemon publishes below a root now; None if this user can't know. It creates nothing.

    No one can know it of a root with records and without a lock: the daemon may create no file there.
    """
    try:
        descriptor = os.open(root / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None if any(root.glob(f"*/{RECORD}")) else False
    except OSError:
        return None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, _DAEMON, 1, 0)
        found = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return bool(found[0] != fcntl.F_UNLCK)


def take_directory(lock: int | None, status: os.stat_result, place: str, *, patience: float = PATIENCE) -> int:
    """Keep every other process, and thread, from writing into a credentials directory until `release_directory`.

    The directory, open and of this `status`, is known by its inode, by whatever path it was reached; without a lock
    nothing is locked. `patience` is in seconds. Returns what `release_directory` takes.

    Raises:
        DirectoryHeldError: Another process, or thread, has held it all the time.
    """
    byte = _compute_byte(status)
    if lock is None:
        return byte
    deadline = time.monotonic() + patience
    while not _take(lock, byte):
        if time.monotonic() >= deadline:
            raise DirectoryHeldError(
                f"another process has been writing into {place} for {patience:.0f} s",
                "find the process that holds the lock (lslocks): a `refresher once` that hangs or was stopped?",
            )
        time.sleep(_PAUSE)
    return byte


def release_directory(lock: int | None, byte: int) -> None:
    """End what `take_directory` began; the lock ends with its descriptor at the latest."""
    if lock is not None:
        _take(lock, byte, fcntl.F_UNLCK)


def _open(directory: int, root: Path) -> int | None:
    descriptor = None
    try:
        descriptor = os.open(LOCK, _OPEN, 0o600, dir_fd=directory)
        status = os.fstat(descriptor)
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        elif error.errno in _UNWRITABLE:
            return None
        raise build_publish_error(error, f"{root}/{LOCK}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        os.close(descriptor)
        owner, mode = status.st_uid, stat.S_IMODE(status.st_mode)
        problem, remedy = (
            f"{root}/{LOCK} is not the daemon's alone (uid {owner}, mode {mode:04o})",
            f"remove {root}/{LOCK}",
        )
        if owner != os.geteuid():
            remedy = f"run this as uid {owner} if that is the daemon's user, else {remedy}"
        raise InsecureDirectoryError(problem, remedy)
    return descriptor


def _take(descriptor: int, byte: int, kind: int = fcntl.F_WRLCK) -> bool:
    """Lock or unlock one byte, and return whether that was done; a file system without locks locks nothing."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, byte, 1, 0))
    except OSError as error:
        return error.errno not in _HELD
    return True


def _compute_byte(status: os.stat_result) -> int:
    """Return the byte that stands for a directory; two that share one only wait for each other."""
    known_by = f"{status.st_dev}:{status.st_ino}".encode()
    return 1 + int.from_bytes(hashlib.sha256(known_by).digest()[:7])
