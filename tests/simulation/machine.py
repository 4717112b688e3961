"""What every system call begins with: a step at which faults happen, and the way from a path to an inode."""

import errno
import os
import stat
from collections.abc import Callable
from typing import Any, Self

from tests.simulation.disk import Disk, Inode
from tests.simulation.scheduler import SCHEDULER, KilledError, Process

BLOCK = 4096


def refuse(number: int, name: object = None) -> OSError:
    """Return the error of a system call."""
    return OSError(number, os.strerror(number), name)


def _compose(inode: Inode) -> os.stat_result:
    mode, uid, gid = inode.attributes
    size = BLOCK if inode.entries is not None else len(inode.content)
    at = inode.changed_ns
    return os.stat_result(
        (mode, inode.number, 1, int(inode.parent is not None), uid, gid, size, at // 10**9, at // 10**9, at // 10**9),
        {"st_ctime_ns": at, "st_mtime_ns": at, "st_mtime": at / 1e9, "st_ctime": at / 1e9, "st_atime": at / 1e9},
    )


class OpenFile:
    """An open file description (open(2))."""

    __slots__ = ("flags", "inode", "offset", "process", "references")

    def __init__(self, inode: Inode, flags: int, process: Process | None) -> None:
        self.inode = inode
        self.flags = flags
        self.offset = 0
        self.process = process
        self.references = 1


class Machine:
    """The disk and the open files of one machine, and what each of its calls begins with."""

    disk: Disk

    def __init__(self) -> None:
        self.boot(None)

    def boot(self, disk: Disk | None) -> None:
        """Begin with a disk, and without a process."""
        if disk is not None:
            self.disk = disk
        self.files: dict[int, OpenFile] = {}
        self._free: list[int] = []
        self.calls = 0
        self.countdown = 1 << 60
        self.at_zero: Callable[[], None] = lambda: None
        self.troubles: list[Callable[[str, Inode | None], None]] = []
        self.refused_at: dict[str, float] = {}
        self.umask = 0o022

    # What every call begins with

    def _step(self, call: str, inode: Inode | None = None) -> None:
        task = SCHEDULER.current
        if task is not None:
            if not task.process.is_alive:
                raise KilledError
            SCHEDULER.fuel -= 1
            if SCHEDULER.fuel < 0:
                SCHEDULER.interrupt()
            self.countdown -= 1
            if self.countdown < 0:
                self.at_zero()
            try:
                for trouble in [*self.troubles]:  # one may end itself
                    trouble(call, inode)
            except OSError:
                self.refused_at[call] = SCHEDULER.now
                raise
        self.calls += 1

    def _file(self, descriptor: int) -> OpenFile:
        try:
            return self.files[descriptor]
        except KeyError:
            raise refuse(errno.EBADF) from None

    # Paths

    def _around(self, path: Any, directory: int | None) -> tuple[Inode, str]:
        """Return the directory that a path leads to, and the last name; the name is empty for the root itself."""
        text = path if type(path) is str else os.fsdecode(path)
        if "/" not in text:
            if directory is None:
                raise refuse(errno.ENOENT, text)
            inode = self.files[directory].inode
            if inode.entries is None:
                raise refuse(errno.ENOTDIR, text)
            return inode, text
        if text.startswith("/proc/self/fd/"):
            inode = self._file(int(text[14:].partition("/")[0])).inode
            rest = text[14:].partition("/")[2]
        elif text.startswith("/"):
            inode, rest = self.disk.root, text
        else:
            inode, rest = self._file(directory if directory is not None else -1).inode, text
        parts = [part for part in rest.split("/") if part and part != "."]
        if not parts:
            return inode, ""
        for part in parts[:-1]:
            inode = self._enter(inode, part, text)
        return inode, parts[-1]

    def _enter(self, inode: Inode, name: str, text: str) -> Inode:
        if inode.entries is None:
            raise refuse(errno.ENOTDIR, text)
        if name == "..":
            return inode.parent or inode
        found = inode.entries.get(name)
        if found is None:
            raise refuse(errno.ENOENT, text)
        return self._follow(found, text)

    def _follow(self, inode: Inode, text: str, depth: int = 0) -> Inode:
        if not stat.S_ISLNK(inode.attributes.mode):
            return inode
        if depth > 8:
            raise refuse(errno.ELOOP, text)
        target = inode.content.decode()
        around = self.disk.root if target.startswith("/") else inode.parent or self.disk.root
        for part in target.split("/"):
            if part and part != ".":
                around = self._enter(around, part, text)
        return around

    def _find(self, path: Any, directory: int | None = None, *, follow: bool = True) -> Inode:
        if isinstance(path, int):
            return self._file(path).inode
        around, name = self._around(path, directory)
        if not name:
            return around
        if name in ("..", "."):
            return (around.parent or around) if name == ".." else around
        found = around.entries.get(name) if around.entries is not None else None
        if found is None:
            raise refuse(errno.ENOTDIR if around.entries is None else errno.ENOENT, str(path))
        return self._follow(found, str(path)) if follow else found

    @staticmethod
    def describe(inode: Inode) -> os.stat_result:
        """Return the state of an inode; it is composed once for each change."""
        facts = inode.attributes, inode.changed_ns, len(inode.content), inode.parent is not None
        if inode.described is None or inode.described[0] != facts:
            inode.described = facts, _compose(inode)
        return inode.described[1]


class Entry:
    """One entry of `scandir`."""

    def __init__(self, kernel: Machine, name: str, inode: Inode) -> None:
        self.name = name
        self._kernel = kernel
        self._inode = inode

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a directory."""
        return self._inode.is_directory or (follow_symlinks and False)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return its state."""
        return self._kernel.describe(self._inode)


class Scan:
    """The entries of a directory, for a `with` block."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def __iter__(self) -> Any:
        return iter(self._entries)
