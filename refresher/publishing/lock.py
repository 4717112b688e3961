"""Decide who may write in a credentials directory: one process at a time, and of its threads one that computes.

**Locks** are ranges of one file, `directory_root/.lock`, which only the daemon's user can open: a lock on a directory
itself could be taken, and kept, by any user who can read it. They belong to the open file (`F_OFD_SETLK`, fcntl(2)), so
that they hold between threads too and end with the process. On a file system without locks nothing is locked, nor in a
root in which the daemon may create no file, which is a fault. Which daemon has a root is decided in
`refresher.publishing.daemon_lock`.

**Turns** exist because the interpreter runs one thread at a time, and lets go of it at each system call. To get it back
from threads that are as busy takes longer than the call itself: on a file system in memory, four threads published a
thousand targets in twice the time that one took. So a thread has its turn for a whole visit of a directory, and leaves
it for what really waits: the disk, another process's lock, a supplier.
"""

import errno
import fcntl
import hashlib
import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, local

from refresher.errors import PublishError
from refresher.publishing.atomic import build_publish_error
from refresher.publishing.walk import LOCK, InsecureDirectoryError, build_uncreatable_error, open_root

PATIENCE = 10.0
"""How long to wait for another process that writes into a directory, in seconds; it should take milliseconds."""

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DAEMON = 0
"""The byte that a daemon holds; directories have the others."""
RANGE = "hhqqi0q"
"""`struct flock` of fcntl(2): type, where start counts from, start, length, process."""
_PAUSE = 0.01
_HELD = (errno.EAGAIN, errno.EACCES)
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class DirectoryHeldError(PublishError):
    """Another process has been writing into a credentials directory for too long."""


class UnlockedRootError(PublishError):
    """The daemon can create no lock in a root: it goes on without it."""


class Turns:
    """Whose turn it is; for any number of threads.

    Args:
        longest: Seconds to wait for a turn. A visit computes for less than a millisecond; one that keeps its turn for
            longer hangs (a mount whose server is gone), and the others go on without it.
    """

    def __init__(self, longest: float = 0.05) -> None:
        self._longest = longest
        self._turn = Lock()
        self._mine = local()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Take the turn for the length of a `with` block; not to be nested."""
        self._wait()
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def leave(self) -> Iterator[None]:
        """Leave this thread's turn, if it has one, to the others for the length of a `with` block that waits."""
        if not self._release():
            yield
            return
        try:
            yield
        finally:
            self._wait()

    def _wait(self) -> None:
        turn = self._turn
        if turn.acquire(timeout=self._longest):
            self._mine.turn = turn
        elif self._turn is turn:
            self._turn = Lock()  # the thread that hangs has the former one

    def _release(self) -> bool:
        turn: Lock | None = getattr(self._mine, "turn", None)
        if turn is None:
            return False
        self._mine.turn = None
        turn.release()
        return True


TURNS = Turns()
"""Of all threads of this process that publish."""


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
            descriptor = open_lock_file(directory, root)
        yield directory, descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)
        os.close(directory)


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
    while not take_byte(lock, byte):
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
        take_byte(lock, byte, fcntl.F_UNLCK)


def open_lock_file(directory: int, root: Path) -> int:
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


def take_byte(descriptor: int, byte: int, kind: int = fcntl.F_WRLCK) -> bool:
    """Lock or unlock one byte, and return whether that was done; a file system without locks locks nothing."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(RANGE, kind, os.SEEK_SET, byte, 1, 0))
    except OSError as error:
        return error.errno not in _HELD
    return True


def _compute_byte(status: os.stat_result) -> int:
    """Return the byte that stands for a directory; two that share one only wait for each other."""
    known_by = f"{status.st_dev}:{status.st_ino}".encode()
    return 1 + int.from_bytes(hashlib.sha256(known_by).digest()[:7])
