"""The fast path of a reload: inotify(7) shows at once that a configuration file, a key or a drop-in changed.

It only calls a function: what changed is found out by looking, and every tick looks at all of it. So nothing is lost
where the kernel shows nothing (NFS), drops events or has no watch left: a change is noticed a second later. The reason
is a complaint, once.
"""

import ctypes
import errno
import os
import select
import struct
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from shlex import quote
from threading import Lock, Thread
from typing import NamedTuple, Self

from refresher.errors import describe_bug
from refresher.files import read_state

_EVENT = struct.Struct("iIII")
_CREATE = 0x100
_OVERFLOW = 0x4000
_MOVED = 0x800
_TARGET_MASK = 0x4 | 0x8 | 0x80 | 0x200 | 0x400 | _MOVED | 0x01000000 | 0x02000000
"""As below without MOVED_FROM and CREATE, which add nothing, and with DONT_FOLLOW."""
_GONE = 0x400 | _MOVED | 0x2000 | 0x8000
"""IN_DELETE_SELF, MOVE_SELF, UNMOUNT, IGNORED: another directory may have its name."""
_MASK = 0x4 | 0x8 | 0x40 | 0x80 | _CREATE | 0x200 | 0x400 | 0x800 | 0x01000000
"""IN_ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF, ONLYDIR."""

_VOLUME = "..data"
"""What the kubelet replaces to publish the files of a volume."""

_PATIENCE = 1.0
"""Seconds that the end of the daemon waits for the thread."""

_PAUSE = 0.01
"""Seconds between two calls, so that many changes in a row cause few."""

_REMOTE = frozenset(["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "virtiofs", "fuse.sshfs", "fuse.glusterfs"])
"""File systems on which other machines may change files, which inotify does not show (inotify(7), "Limitations")."""


class Watched(NamedTuple):
    """What matters in a directory: files of these names, or with a suffix those that are named by what is before it."""

    names: frozenset[str] = frozenset()
    suffix: str | None = None


class Watcher:
    """Calls a function soon after a change in directories, on a thread of its own, until `__exit__`."""

    def __init__(self, *, changed: Callable[[], None], complain: Callable[[str, str], None]) -> None:
        """Start without a directory.

        Args:
            changed: Called after changes, never twice at a time.
            complain: Takes problem and remedy when changes can't be shown, each once.
        """
        self._changed_call = changed
        self._complain = complain
        self._complaints: set[str] = set()
        self._lock = Lock()
        self._names: set[str] | None = set()
        self._places: dict[int, tuple[Path, Watched]] = {}
        self._root: tuple[Path, int | None, int | None] = (Path(), None, None)
        self._is_local = False
        self._targets: dict[str, int] = {}
        self._target_names: dict[int, str] = {}
        self._touched: set[str] = set()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._inotify < 0:
            self._explain(ctypes.get_errno(), "max_user_instances")
        self._waking, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wanted: tuple[Mapping[Path, Watched], Path, AbstractSet[str]] | None = None
        self._thread = Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            os.close(self._wake)
            self._wake = -1  # the number may be another file's from now on, and the last tick may still ask
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():  # a file system does not answer it: what it uses stays open until the process ends
            return
        os.close(self._waking)
        if self._inotify >= 0:
            os.close(self._inotify)

    def take(self) -> tuple[set[str] | None, set[str]]:
        """Return what changed since the last call: the names of files, without the suffix, and of targets.

        None for the files means that anything may have changed.
        """
        with self._lock:
            names, self._names = self._names, set()
            touched, self._touched = self._touched, set()
        return names, touched

    def is_watching(self, name: str) -> bool:
        """Return whether a change in the directory of a target is shown, whichever process makes it."""
        return self._is_local and name in self._targets

    def ask(self, directories: Mapping[Path, Watched], root: Path, names: AbstractSet[str]) -> None:
        """Make the watcher's own thread watch these directories and targets: a file system may not answer."""
        self._wanted = (directories, root, names)
        with self._lock, suppress(BlockingIOError):  # it is awake already
            if self._wake >= 0:
                os.write(self._wake, b"x")

    def watch(self, directories: Mapping[Path, Watched]) -> None:
        """Watch exactly these directories from now on; asked again at every tick, it finds those that were replaced.

        A change before this call is noticed by the next tick.
        """
        if self._inotify < 0:
            return
        found: dict[int, tuple[Path, Watched]] = {}
        for path, watched in directories.items():
            number = self._libc.inotify_add_watch(self._inotify, os.fsencode(path), _MASK)
            if number >= 0:
                found[number] = (path, watched)
            elif ctypes.get_errno() not in (errno.ENOENT, errno.ENOTDIR):  # what is absent is reported elsewhere
                self._explain(ctypes.get_errno(), "max_user_watches", path)
        if found == self._places:
            return
        for number in self._places.keys() - found.keys():
            self._libc.inotify_rm_watch(self._inotify, number)
        for path in {path for path, _ in found.values()} - {path for path, _ in self._places.values()}:
            if (kind := _read_file_system(path)) in _REMOTE:
                self._warn(
                    f"{path} is on {kind}: changes by other machines are noticed within a second, not at once",
                    "put it on a local file system, or ignore this",
                )
        self._places = found

    def watch_targets(self, root: Path, names: AbstractSet[str]) -> None:
        """Watch the directories of exactly these targets; asked again at every tick, it adds those that were replaced.

        One that can't be watched is left to the sweep. What befell one before it was added was not seen, so it counts
        as touched.
        """
        status = read_state(root)
        place = (root, None, None) if status is None else (root, status.device, status.inode)
        if is_another := place != self._root:
            kind = _read_file_system(root)
            self._is_local = kind is not None and kind not in _REMOTE and not kind.startswith("fuse")
        with self._lock:
            unwanted = {*self._targets} if is_another else self._targets.keys() - names
            removed = [self._forget(name) for name in unwanted]
            self._root, wanted = place, names - self._targets.keys()
        if self._inotify < 0:
            return
        for number in removed:
            self._libc.inotify_rm_watch(self._inotify, number)
        for name in wanted:
            number = self._libc.inotify_add_watch(self._inotify, os.fsencode(root / name), _TARGET_MASK)
            if number >= 0:
                with self._lock:
                    self._targets[name], self._target_names[number] = number, name
                    self._touched.add(name)
            elif ctypes.get_errno() == errno.ENOSPC:
                self._explain(errno.ENOSPC, "max_user_watches")
                return

    def _forget(self, name: str) -> int:
        number = self._targets.pop(name)
        del self._target_names[number]
        return number

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as bug:  # noqa: BLE001 - every tick looks at what is not watched any more
            failure = describe_bug("the watcher of files", bug)
            with self._lock:
                self._is_local, self._names = False, None
            self._warn(f"changes are noticed within seconds, not at once: {failure.problem}", failure.remedy)

    def _follow(self) -> None:
        poll = select.poll()
        poll.register(self._waking, select.POLLIN)
        if self._inotify >= 0:
            poll.register(self._inotify, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._waking in ready and not os.read(self._waking, 4096):
                return
            wanted, self._wanted = self._wanted, None
            if wanted is not None:
                self.watch(wanted[0])
                self.watch_targets(*wanted[1:])
                if self._touched:
                    self._changed_call()
            if self._inotify in ready and self._read():
                self._changed_call()
                time.sleep(_PAUSE)

    def _read(self) -> bool:
        """Read all events that there are, and return whether one of them matters."""
        try:
            content = os.read(self._inotify, 65536)
        except BlockingIOError:
            return False
        matters, offset = False, 0
        while offset < len(content):
            number, mask, _, length = _EVENT.unpack_from(content, offset)
            offset += _EVENT.size + length
            name = os.fsdecode(content[offset - length : offset].rstrip(b"\0"))
            matters = self._note_event(number, mask, name) or matters
        return matters

    def _note_event(self, number: int, mask: int, name: str) -> bool:
        with self._lock:
            if (target := self._target_names.get(number)) is not None:
                if mask & _GONE:
                    self._forget(target)
                if name.endswith(".tmp"):  # it is the daemon's own, on its way to another name
                    return False
                self._touched.add(target)
                return True
        path, watched = self._places.get(number, (None, Watched()))
        if mask & _OVERFLOW:
            with self._lock:
                self._touched |= self._targets.keys()
        if mask & _OVERFLOW or name == _VOLUME or (not name and path is not None) or name in watched.names:
            return self._note(None)
        stem = name.removesuffix(watched.suffix or "")
        if path is None or stem == name or name.startswith("."):
            return False
        if mask & _CREATE and _is_empty(path / name):  # its writer is not done
            return False
        return self._note(stem)

    def _note(self, name: str | None) -> bool:
        with self._lock:
            if name is None:
                self._names = None
            elif self._names is not None:
                self._names.add(name)
        return True

    def _explain(self, number: int, limit: str, path: Path | None = None) -> None:
        changes, remedy = "changes", "look up this error of inotify(7) for this system; until then nothing is lost"
        if number in (errno.EMFILE, errno.ENOSPC):
            remedy = f"raise the limit: sysctl fs.inotify.{limit}"
        elif path is not None:
            changes += f" in {path}"
            if number == errno.EACCES:
                opened = f"chmod o+rx {quote(str(path))}"
                remedy = f"make it readable for the daemon's user: {opened}, or change its owner or group"
        self._warn(f"{changes} are noticed within a second, not at once: inotify: {os.strerror(number)}", remedy)

    def _warn(self, problem: str, remedy: str) -> None:
        if problem not in self._complaints:
            self._complaints.add(problem)
            self._complain(problem, remedy)


def _is_empty(path: Path) -> bool:
    try:
        return path.lstat().st_size == 0
    except OSError:
        return True


def _read_file_system(path: Path) -> str | None:
    """Return the type of the file system that a directory is on; None if that is unknown. See proc(5), mountinfo."""
    try:
        device = path.stat().st_dev
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    number = f"{os.major(device)}:{os.minor(device)}"
    found = (line.partition(" - ")[2].split(" ")[0] for line in lines if line.split(" ")[2] == number)
    return next(found, None)
