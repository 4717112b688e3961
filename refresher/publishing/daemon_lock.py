"""Decide which daemon publishes below a `directory_root`: one at a time, by the first byte of `directory_root/.lock`.

Where the daemon may create no such file it locks the root itself (flock(2)), which any user who can read the root can
do too: that counts only if /proc/locks shows that its own user, or root, did. One process at a time in one credentials
directory is decided in `refresher.publishing.lock`.
"""

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from refresher.errors import PublishError
from refresher.publishing.artifacts import RECORD
from refresher.publishing.atomic import build_publish_error
from refresher.publishing.lock import DAEMON, RANGE, UnlockedRootError, open_lock_file, take_byte
from refresher.publishing.walk import LOCK, open_root


class RootHeldError(PublishError):
    """Another daemon keeps the targets below the same root."""

    usually_retryable = False


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

    def take(root: Path) -> bool:
        with ExitStack() as opened, ExitStack() as kept:
            directory = open_root(root, create=True)
            opened.callback(os.close, directory)
            try:
                descriptor, is_lock = open_lock_file(directory, root), True
                reported.pop(root, None)
            except UnlockedRootError as error:
                descriptor, is_lock = os.dup(directory), False  # the next best, until there can be a lock
                if reported.get(root) != error.problem:
                    reported[root] = error.problem
                    report(error)
            kept.callback(os.close, descriptor)
            around, former = os.fstat(directory), held.get(root)
            is_same_root = former is not None and os.path.samestat(os.fstat(former), around)
            if former is not None and is_same_root and not is_lock:
                return False
            if not (take_byte(descriptor, DAEMON) if is_lock else _take_root(descriptor)):
                raise RootHeldError(
                    f"another daemon already publishes below {root}",
                    "stop it, or configure another directory_root for this one",
                )
            kept.pop_all()
        held[root] = descriptor
        if former is None:
            return False
        os.close(former)
        return not is_same_root

    def hold(root: Path) -> bool:
        try:
            return not (root in held and _is_lock_of(root, held[root])) and take(root)
        except OSError as error:
            raise build_publish_error(error, str(root), done="locked") from error

    try:
        yield hold
    finally:
        for descriptor in held.values():
            os.close(descriptor)


def _is_lock_of(root: Path, descriptor: int) -> bool:
    """Return whether an open lock is the one that lies in the root now; without one, there may be one now.

    Any other error of the system shows nothing about the lock, and is raised.
    """
    try:
        return os.path.samestat((root / LOCK).lstat(), os.fstat(descriptor))
    except (FileNotFoundError, NotADirectoryError):
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
        asked = struct.pack(RANGE, fcntl.F_RDLCK, os.SEEK_SET, DAEMON, 1, 0)
        found = struct.unpack(RANGE, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return bool(found[0] != fcntl.F_UNLCK)
