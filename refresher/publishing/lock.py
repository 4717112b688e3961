"""Decide who may write below a `directory_root`: one daemon, and one process at a time in one credentials directory.

Both are locks on ranges of one file, `directory_root/.lock`, which only the daemon's user can open: a lock on a
directory itself could be taken, and kept, by any user who can read it. The locks belong to the open file
(`F_OFD_SETLK`, fcntl(2)), so that they hold between threads too and end with the process. On a file system without
locks nothing is locked. In a root in which the daemon may create no file no directory is locked either, which is a
fault; there the daemon locks the root itself (flock(2)), and that counts only if /proc/locks shows that its user did.
"""

import errno
import fcntl
import hashlib
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refresher.errors import PublishError
from refresher.publishing.artifacts import RECORD
from refresher.publishing.atomic import build_publish_error
from refresher.publishing.turns import TURNS
from refresher.publishing.walk import LOCK, InsecureDirectoryError, build_uncreatable_error, open_root

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


class UnlockedRootError(PublishError):
    """The daemon can create no lock in a root: it goes on without it."""


@contextmanager
def held_roots(
    report: Callable[[UnlockedRootError], None] = lambda _: None,
) -> Iterator[Callable[[Path], bool]]:
    """Yield a function that takes a root as the daemon, until the end of a `with` block.

    `report` hears once, until it changes, that a root is held without its lock, and why.

    Taking it again looks whether the lock that is held is still the root's: a root that was removed, unmounted, or
    covered by a mount is taken again, so that no second daemon can, and only then the function returns True. Other
    commands may publish meanwhile. It raises:
        RootHeldError: Another process holds it.
        PublishError: It can't be opened, or not be trusted.
    """
    held: dict[Path, int] = {}
    reported: dict[Path, str] = {}

    def hold(root: Path) -> bool:
        if root in held and _is_lock_of(root, held[root]):
            return False
        directory = open_root(root, create=True)
        try:
            descriptor, is_lock = _open(directory, root), True
            reported.pop(root, None)
        except UnlockedRootError as error:
            descriptor, is_lock = os.dup(directory), False  # the next best, until there can be a lock
            if reported.get(root) != error.problem:
                reported[root] = error.problem
                report(error)
        finally:
            around = os.fstat(directory)
            os.close(directory)
        former = held.get(root)
        is_same_root = former is not None and os.path.samestat(os.fstat(former), around)
        if former is not None and is_same_root and not is_lock:
            os.close(descriptor)
            return False
        if not (_take(descriptor, _DAEMON) if is_lock else _take_root(descriptor)):
            os.close(descriptor)
            raise RootHeldError(
                f"another daemon already publishes below {root}",
                "stop it, or configure another directory_root for this one",
            )
        held[root] = descriptor
        if former is None:
            return False
        os.close(former)
        return not is_same_root

    try:
        yield hold
    finally:
        for descriptor in held.values():
            os.close(descriptor)


def _is_lock_of(root: Path, descriptor: int) -> bool:
    """Return whether an open lock is the one that lies in the root now; without one, there may be one now."""
    try:
        return os.path.samestat((root / LOCK).lstat(), os.fstat(descriptor))
    except OSError:
        return False


def _take_root(directory: int) -> bool:
    """Lock a root without a lock, and return False if another process of this user, or of root, has.

    Any user who can read the root can lock it: that of others refuses nothing.
    """
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return not _is_taken_by_daemon(os.fstat(directory))
    return True


def _is_taken_by_daemon(root: os.stat_result) -> bool | None:
    """Return whether root, or this user, locked a directory itself; None if another user did (/proc/locks, proc(5))."""
    known = f"{os.major(root.st_dev):02x}:{os.minor(root.st_dev):02x}:{root.st_ino}"
    try:
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        processes = [line[4] for line in lines if line[1] == "FLOCK" and line[3] == "WRITE" and line[5] == known]
        # not the owner of /proc/PID: of a process that may not be dumped, as the daemon, that is root
        owners = [int(Path("/proc", each, "status").read_text().split("Uid:")[1].split()[0]) for each in processes]
    except (OSError, IndexError, ValueError):
        return None
    return any(owner in (0, os.geteuid()) for owner in owners) or (None if owners else False)


@contextmanager
def open_lock(root: Path, *, is_shared: bool = False) -> Iterator[tuple[int, int | None]]:
    """Open a root to write in it, and its lock, for the length of a `with` block, which ends what was taken on it.

    The root is created if it is absent; `is_shared` is that of `open_root`. The lock is None where it can't be created:
    in a root that the daemon may not write to, or on a read-only file system. Raises a `PublishError` if one of them
    can't be opened, or not be trusted.
    """
    directory, descriptor = open_root(root, create=True, is_shared=is_shared), None
    try:
        with suppress(UnlockedRootError):
            descriptor = _open(directory, root)
        yield directory, descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)
        os.close(directory)


def is_daemon_running(root: Path) -> bool | None:
    """Return whether a daemon publishes below a root now; None if this user can't know. It creates nothing.

    No one can know it of a root that does not exist, since it may have been unmounted, nor of one with records and
    without a lock: the daemon may create no file there.
    """
    try:
        descriptor = os.open(root / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        try:
            is_taken = _is_taken_by_daemon(root.stat())
        except OSError:
            return None
        return None if is_taken is False and any(root.glob(f"*/{RECORD}")) else is_taken
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
        with TURNS.leave():
            time.sleep(_PAUSE)
    return byte


def release_directory(lock: int | None, byte: int) -> None:
    """End what `take_directory` began; the lock ends with its descriptor at the latest."""
    if lock is not None:
        _take(lock, byte, fcntl.F_UNLCK)


def _open(directory: int, root: Path) -> int:
    """Return the open lock of a root; raise an `UnlockedRootError` where it can't be created."""
    descriptor = None
    try:
        descriptor = os.open(LOCK, _OPEN, 0o600, dir_fd=directory)
        status = os.fstat(descriptor)
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        elif error.errno in _UNWRITABLE:
            raise _build_unlocked_error(error, directory, root) from error
        raise build_publish_error(error, f"{root}/{LOCK}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        os.close(descriptor)
        owner, mode = status.st_uid, stat.S_IMODE(status.st_mode)
        problem = f"{root}/{LOCK} is not the daemon's alone (uid {owner}, mode {mode:04o})"
        raise InsecureDirectoryError(problem, _advise(directory, root, status))
    return descriptor


def _advise(directory: int, root: Path, lock: os.stat_result) -> str:
    """Return what to do about a lock that is not the daemon's alone; a file is not removed, since it may be locked."""
    if not stat.S_ISREG(lock.st_mode):
        return f"remove {root}/{LOCK}"
    if lock.st_uid == os.geteuid():
        return f"chmod 0600 {root}/{LOCK}"
    remedy = f"as root: chown {os.geteuid()} {root}/{LOCK}"
    is_roots_mishap = lock.st_uid == 0 and os.fstat(directory).st_uid == os.geteuid()
    return remedy if is_roots_mishap else f"run this as uid {lock.st_uid} if that is the daemon's user, else, {remedy}"


def _build_unlocked_error(error: OSError, directory: int, root: Path) -> UnlockedRootError:
    """Return why a lock can't be created, or not be opened, and that the daemon goes on."""
    around, refused = os.fstat(directory), build_publish_error(error, f"{root}/{LOCK}", done="created")
    problem, remedy = refused.problem, refused.remedy
    try:
        lock = os.stat(LOCK, dir_fd=directory, follow_symlinks=False)
    except OSError:
        if error.errno != errno.EROFS and around.st_uid != os.geteuid():
            refused = build_uncreatable_error(str(root), around, LOCK)
            problem, remedy = refused.problem, refused.remedy
    else:
        if error.errno != errno.EROFS:
            problem, remedy = f"{root}/{LOCK} belongs to uid {lock.st_uid}", _advise(directory, root, lock)
    consequence = "without this lock `once`, and a second daemon that does not see this one, can write at the same time"
    return UnlockedRootError(f"{problem}; {consequence}", remedy)


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
