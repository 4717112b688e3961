"""Find the containers that have a file of a credentials directory mounted by itself, seen from the worker.

Such a container keeps the file of its start whatever the daemon publishes, and mostly nobody in it knows. The kernel
tells of every process what it has mounted (proc(5), `mountinfo`): of a bind mount the path within its file system, with
`//deleted` once that file was replaced. One process of each mount namespace is asked; root is shown all of them, others
their own.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from refresher.publishing.mounts import REMEDY
from refresher.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_READ = os.O_RDONLY | os.O_CLOEXEC
_REPLACED = "//deleted"
_PROC = Path("/proc")
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
_FIELDS = 5


class Mount(NamedTuple):
    """A line of `mountinfo`: the device, the path mounted within its file system, and where it is seen."""

    device: str
    root: str
    point: str


class Holder(NamedTuple):
    """A process that sees a file of a credentials directory mounted by itself.

    Attributes:
        process: Its id; others may see the same.
        file: The file on the worker.
        point: Where the process sees it.
        is_replaced: Whether what it sees is an old one.
    """

    process: int
    file: Path
    point: str
    is_replaced: bool

    def __str__(self) -> str:
        """Say it with the remedy; any user can have named what is mounted, and where."""
        file, point = self.file.with_name(escape(self.file.name)), escape(self.point)
        consequence = "reads an old one" if self.is_replaced else "will never see another"
        return f"process {self.process} has {file} mounted by itself at {point} and {consequence} — {REMEDY}"


def holders(directories: Iterable[Path], proc_directory: Path = _PROC) -> Iterator[Holder]:
    """Find those who hold a file of these credentials directories; nobody where `/proc` is not mounted."""
    try:
        proc = os.open(proc_directory, _READ | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        own = _mounts_of(proc, "self")
        places = {_within(Path(os.path.realpath(directory)), own): directory for directory in directories}
        for process in _one_of_each_namespace(proc):
            for mount in _mounts_of(proc, process):
                folder, _, name = mount.root.removesuffix(_REPLACED).rpartition("/")
                directory = places.get((mount.device, folder))
                if directory is not None and not (directory / name).is_dir():
                    yield Holder(int(process), directory / name, mount.point, mount.root.endswith(_REPLACED))
    finally:
        os.close(proc)


def _within(directory: Path, mounts: list[Mount]) -> tuple[str, str]:
    """Give the device that a directory lies on, and its path within that file system."""
    around = [mount for mount in mounts if directory.is_relative_to(mount.point)]
    nearest = max(reversed(around), key=lambda mount: len(mount.point), default=Mount("", "/", "/"))
    return nearest.device, str(Path(nearest.root, directory.relative_to(nearest.point)))


def _one_of_each_namespace(proc: int) -> Iterator[str]:
    seen: set[str] = set()
    for process in sorted(filter(str.isdigit, os.listdir(proc)), key=int):
        try:
            namespace = os.readlink(f"{process}/ns/mnt", dir_fd=proc)
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if namespace not in seen:
            seen.add(namespace)
            yield process


def _mounts_of(proc: int, process: str) -> list[Mount]:
    """Read what a process has mounted; nothing if it is gone or nobody may know.

    Only a line feed ends a line: any user can mount something at a name with a carriage return in it.
    """
    try:
        with os.fdopen(os.open(f"{process}/mountinfo", _READ, dir_fd=proc), "rb") as file:
            lines = [line.split(b" ", _FIELDS) for line in file.read().split(b"\n")]
    except OSError:
        return []
    return [Mount(*map(_path, fields[2:_FIELDS])) for fields in lines if len(fields) > _FIELDS]


def _path(field: bytes) -> str:
    """Give a field with the escapes undone that the kernel writes for spaces, line feeds and backslashes."""
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field))
