"""What the kernel shows of a process in a container: ids, namespaces, mounts, and the variables that clients read.

Another user's process is only looked into by root.
"""

import os
import re
import select
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from refresher.errors import UsageError
from refresher.observe.holders import Mount, find_whole_root, read_mounts
from refresher.users import recommend_root

_LARGEST = 2 * 1024 * 1024
_LONGEST_VALUE = 4096
NAMESPACES = {
    "user": 0x10000000,
    "mnt": 0x00020000,
    "net": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
}
"""The namespaces to enter with their flags (setns(2)); never the pid namespace."""

REPLACED = "//deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process in a container, held by its pidfd, so that no other process of the same number takes its place.

    Attributes:
        uid: Effective user id, as on the host; so are the `groups`.
        inner: User and group id as its own user namespace counts them.
        namespaces: The flags of those that are not this process's own.
        mounts: What it has mounted, at paths as it sees them.
    """

    pid: int
    pidfd: int
    root: int
    uid: int
    groups: tuple[int, ...]
    inner: tuple[int, int]
    capabilities: int
    namespaces: int
    mounts: tuple[Mount, ...]

    def find_mount(self, container_directory: str) -> Mount | None:
        """Return what is mounted at a path, as the process sees it; None for nothing."""
        return next((mount for mount in reversed(self.mounts) if mount.point == container_directory), None)

    def find_whole(self, directory_root: Path) -> str:
        """Return where the process has the directories of all targets mounted; empty for nowhere."""
        return find_whole_root(directory_root, self.mounts, _list_mounts(os.getpid()))

    def is_mounted(self, name: str, container_directory: str) -> bool:
        """Return whether the directory of a target, or a former one, is mounted where it should be."""
        return any(
            mount.point == container_directory and mount.root.removesuffix(REPLACED).rpartition("/")[2] == name
            for mount in self.mounts
        )


@contextmanager
def open_process(pid: int) -> Iterator[Process]:
    """Open a process for the length of a `with` block; a `UsageError` shows that it does not exist, or is another's."""
    opened: list[int] = []
    try:
        try:
            process = _open(pid, opened)
        except ProcessLookupError:
            raise UsageError(f"there is no process {pid}", "use the id of a process in the container") from None
        except (PermissionError, FileNotFoundError):
            raise UsageError(f"process {pid} can't be looked into by this user", recommend_root()) from None
        except (LookupError, ValueError, OSError):
            problem = f"process {pid} can't be looked into"
            raise UsageError(problem, "use a process that runs in the container") from None
        yield process
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _open(pid: int, opened: list[int]) -> Process:
    opened.append(pidfd := os.pidfd_open(pid))
    opened.append(root := os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    status = dict(re.findall(r"^(\w+):[ \t]*(.*)$", _read(pid, "status").decode(errors="replace"), re.MULTILINE))
    uid, gid = int(status["Uid"].split()[1]), int(status["Gid"].split()[1])
    namespaces = sum(flag for name, flag in NAMESPACES.items() if _differs(pid, name))
    inner = (uid, gid)
    if namespaces & NAMESPACES["user"]:
        inner = (map_id(_read(pid, "uid_map"), uid), map_id(_read(pid, "gid_map"), gid))
    process = Process(
        pid=pid,
        pidfd=pidfd,
        root=root,
        uid=uid,
        groups=(gid, *map(int, status["Groups"].split())),
        inner=inner,
        capabilities=int(status["CapEff"], 16),
        namespaces=namespaces,
        mounts=_list_mounts(pid),
    )
    if select.select([pidfd], [], [], 0)[0]:  # it has ended: what was read may be of another process
        raise ProcessLookupError(pid)
    return process


def _read(pid: int, name: str) -> bytes:
    with Path(f"/proc/{pid}/{name}").open("rb") as file:
        return file.read(_LARGEST)


def _differs(pid: int, name: str) -> bool:
    with suppress(FileNotFoundError):  # a kernel without this kind
        return Path(f"/proc/self/ns/{name}").stat().st_ino != Path(f"/proc/{pid}/ns/{name}").stat().st_ino
    return False


def map_id(table: bytes, outer: int) -> int:
    """Return what an id of the host is in a user namespace (user_namespaces(7)); an unmapped one is a `ValueError`."""
    for line in table.decode().splitlines():
        first, start, count = map(int, line.split())
        if start <= outer < start + count:
            return first + outer - start
    raise ValueError("the id has no mapping")


def _list_mounts(pid: int) -> tuple[Mount, ...]:
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return tuple(read_mounts(proc, str(pid)))
    finally:
        os.close(proc)


def read_variables(pid: int, names: Iterable[str]) -> dict[str, str]:
    """Return those of a process's variables that are named, as it was started."""
    allowed, found = set(names), {}
    for entry in _read(pid, "environ").split(b"\0"):
        name, _, value = entry.partition(b"=")
        key = name.decode("ascii", "replace")
        if key in allowed:
            found[key] = value[:_LONGEST_VALUE].decode(errors="replace")
    return found
