"""Find containers cut off from a credentials directory: by a mount of a file, of a former directory, or elsewhere.

Such a container keeps what it saw at its start, and usually no one in it knows. The kernel lists what each process has
mounted (proc(5), `mountinfo`): for a bind mount the path within its file system, with `//deleted` once what was mounted
there is removed or replaced. One process of each mount namespace is looked at; root sees all of them, other users their
own.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from refresher.errors import PublishError
from refresher.publishing.directory import TargetRecord, read_record
from refresher.publishing.mounts import suggest_mount
from refresher.publishing.walk import LOCK
from refresher.text import escape

_READ = os.O_RDONLY | os.O_CLOEXEC
_REPLACED, _REMOVED = "//deleted", " (deleted)"
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
_ASIDE = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp")
"""The name of a directory that was moved aside before its removal."""

_FIELDS = 5


class Mount(NamedTuple):
    """A line of `mountinfo`: the device, the path mounted within its file system, and where it is seen."""

    device: str
    root: str
    point: str


def find_holders(directories: Mapping[Path, str | None], proc_directory: Path = Path("/proc")) -> Iterator[str]:
    """Find processes that hold a file of these credentials directories, or a former one; none without `/proc`.

    Each directory has its `container_directory`; None if it is unknown. Each result is a sentence with its remedy,
    about one process; others may have the same mount.
    """
    try:
        proc = os.open(proc_directory, _READ | os.O_DIRECTORY)
    except OSError:
        return
    try:
        own = read_mounts(proc, "self")
        places = {_locate(Path(os.path.realpath(directory)), own): directory for directory in directories}
        for process in _list_one_per_namespace(proc):
            mounts = read_mounts(proc, process)
            for mount in mounts:
                if (found := _describe_fault(mount, places, directories)) is not None:
                    yield f"process {process} has {found}"
            if mounts == own:
                continue
            for root in dict.fromkeys(directory.parent for directory in directories):
                if point := find_whole_root(root, mounts, own):
                    yield (
                        f"process {process} has {root} mounted at {escape(point)}, with the directories of all targets "
                        "— mount the directory of its target alone"
                    )
            yield from (f"process {process} has {found}" for found in _list_misplaced(mounts, places, directories))
            yield from (f"process {process} has {found}" for found in _list_moved(mounts, own, places, directories))
        yield from _list_left_behind(proc, directories)
    finally:
        os.close(proc)


def _describe_fault(
    mount: Mount, places: Mapping[tuple[str, str], Path], directories: Mapping[Path, str | None]
) -> str | None:
    """Return what is wrong with a mount, and the remedy; any user can have chosen what is mounted, and where."""
    is_replaced, point = mount.root.endswith(_REPLACED), escape(mount.point)
    folder, _, name = mount.root.removesuffix(_REPLACED).rpartition("/")
    if (directory := places.get((mount.device, folder))) is not None and not os.path.isdir(directory / name):  # noqa: PTH112 - it raises nothing
        consequence = "reads an old one" if is_replaced else "will never see another"
        remedy = suggest_mount(str(directory), directories[directory] or str(directory))
        return f"{directory / escape(name)} mounted by itself at {point} and {consequence} — {remedy}"
    aside = _ASIDE.fullmatch(name)
    directory = places.get((mount.device, f"{folder}/{aside[1] if aside else name}"))
    if is_replaced and directory is not None:
        return (
            f"the former directory {directory.with_name(escape(directory.name))} mounted at {point}, which was "
            "removed: it sees nothing that is published since — start the container again"
        )
    return None


def _list_misplaced(
    mounts: list[Mount], places: Mapping[tuple[str, str], Path], directories: Mapping[Path, str | None]
) -> Iterator[str]:
    """Find what a container has mounted elsewhere than its documents name, and directories of an unmounted root."""
    points = {mount.point for mount in mounts if (mount.device, mount.root) in places}
    devices, used = {device for device, _ in places}, set(directories.values())
    roots = {(device, place.rpartition("/")[0]): directory.parent for (device, place), directory in places.items()}
    for mount in mounts:
        if (directory := places.get((mount.device, mount.root))) is not None:
            wanted = directories[directory]
            if wanted is not None and wanted not in points and mount.point != str(directory):
                yield f"{directory} mounted at {_describe_place(mount.point, wanted, directory, directories)}"
            continue
        folder, _, name = mount.root.removesuffix(_REPLACED).rpartition("/")
        former = _ASIDE.fullmatch(name)  # one of a target is known by `_describe_fault`
        is_known = (mount.device, f"{folder}/{former[1] if former else name}") in places
        root = None if is_known else roots.get((mount.device, folder))
        if root is not None and (mount.point in used or _read_record(root / name) is not None):
            yield (
                f"{root / escape(name)}, which is not the directory of a target, mounted at "
                f"{escape(mount.point)}: it was moved on the host, or its target was removed, and nothing is published "
                "there any more — start the container again with the directory of its target"
            )
        for directory, wanted in directories.items():
            if wanted == mount.point and Path(mount.root).name == directory.name and mount.device not in devices:
                yield (
                    f"a directory of another file system mounted at {escape(mount.point)} instead of the present "
                    f"{directory}: directory_root was unmounted or covered, and nothing that is newer is seen there — "
                    "start the container again"
                )


def _list_moved(
    mounts: list[Mount],
    own: list[Mount],
    places: Mapping[tuple[str, str], Path],
    directories: Mapping[Path, str | None],
) -> Iterator[str]:
    """Find directories that were moved out of the root: by their record, and by their place in the container."""
    used, folders = set(directories.values()), {(device, place.rpartition("/")[0]) for device, place in places}
    names = {directory.name: directory for directory in directories}
    for mount in mounts:
        is_inside = (mount.device, mount.root.removesuffix(_REPLACED).rpartition("/")[0]) in folders
        if is_inside or mount.device not in {device for device, _ in folders} or (mount.device, mount.root) in places:
            continue
        if mount.root.endswith(_REPLACED):
            if mount.point in used:
                yield (
                    f"a directory mounted at {escape(mount.point)} that was moved out of directory_root and removed: "
                    "it sees nothing that is published since — start the container again"
                )
            continue
        place = _find_on_host(mount, own)
        if place is None or os.path.lexists(place.parent / LOCK):  # in another root, whose daemon it belongs to
            continue
        record = _read_record(place)
        if record is None:
            continue
        former = names.get(record.target, Path(record.target))
        yield (
            f"{escape(str(place))} mounted at {escape(mount.point)}: it is the former directory "
            f"{former.with_name(escape(former.name))}, which was moved, and nothing is published there any more — "
            "start the container again with the directory of its target"
        )


def _find_on_host(mount: Mount, own: Sequence[Mount]) -> Path | None:
    """Return where this process sees what is mounted elsewhere; None for nowhere."""
    around = [each for each in own if each.device == mount.device and Path(mount.root).is_relative_to(each.root)]
    nearest = max(around, key=lambda each: len(each.root), default=None)
    return None if nearest is None else Path(nearest.point, Path(mount.root).relative_to(nearest.root))


def _read_record(directory: Path) -> TargetRecord | None:
    """Return the target record of a directory; None where it is absent, or this user may not read it."""
    try:
        descriptor = os.open(directory, _READ | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return read_record(descriptor, str(directory))
    except PublishError:
        return None
    finally:
        os.close(descriptor)


def _describe_place(point: str, wanted: str, directory: Path, directories: Mapping[Path, str | None]) -> str:
    """Return where a directory is mounted instead of the place that is wanted, and the remedy."""
    others = [other for other, place in directories.items() if place == point]
    if others:
        remedy = f"mount {others[0]} there, or {directory} at {wanted}"
        return (
            f"{escape(point)}, where target {others[0].name} has its own: its clients act as another target — {remedy}"
        )
    remedy = f"mount it at {wanted}, or set container_directory of the target"
    return f"{escape(point)}, but its documents name {wanted} — {remedy}"


def find_whole_root(root: Path, mounts: Sequence[Mount], own: Sequence[Mount]) -> str:
    """Return where a container has a whole directory root mounted; empty for nowhere, and for a process of the host.

    The latter has this process's own file system at `/`: a service with mounts of its own is not a container.
    """
    if _find_bottom(mounts) == _find_bottom(own):
        return ""
    place = _locate(Path(os.path.realpath(root)), own)
    return next((mount.point for mount in mounts if (mount.device, mount.root) == place), "")


def _find_bottom(mounts: Sequence[Mount]) -> tuple[str, str] | None:
    return next(((mount.device, mount.root) for mount in reversed(mounts) if mount.point == "/"), None)


def _locate(directory: Path, mounts: Sequence[Mount]) -> tuple[str, str]:
    """Return the device that a directory lies on, and its path within that file system."""
    around = [mount for mount in mounts if directory.is_relative_to(mount.point)]
    nearest = max(reversed(around), key=lambda mount: len(mount.point), default=Mount("", "/", "/"))
    return nearest.device, str(Path(nearest.root, directory.relative_to(nearest.point)))


def _list_left_behind(proc: int, directories: Mapping[Path, str | None]) -> Iterator[str]:
    """Find processes that work in a directory that was removed, with no mount of it: their relative paths end there."""
    known = {Path(os.path.realpath(directory)): directory for directory in directories}
    for process in _list_processes(proc):
        try:
            place = os.readlink(f"{process}/cwd", dir_fd=proc)
        except OSError:  # it ended meanwhile, or is another user's
            continue
        former = Path(place.removesuffix(_REMOVED))
        aside = _ASIDE.fullmatch(former.name)
        directory = known.get(former.with_name(aside[1]) if aside else former)
        if place.endswith(_REMOVED) and directory is not None:
            yield (
                f"process {process} works in the former directory {directory.with_name(escape(directory.name))}, which "
                "was removed: it sees nothing that is published since — start it again"
            )


def _list_processes(proc: int) -> list[str]:
    try:
        names = os.listdir(proc)
    except OSError:
        names = []
    return sorted(filter(str.isdigit, names), key=int)


def _list_one_per_namespace(proc: int) -> Iterator[str]:
    seen: set[str] = set()
    for process in _list_processes(proc):
        try:
            namespace = os.readlink(f"{process}/ns/mnt", dir_fd=proc)
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if namespace not in seen:
            seen.add(namespace)
            yield process


def read_mounts(proc: int, process: str) -> list[Mount]:
    """Return what a process has mounted; nothing if it ended or this user may not know.

    Only a line feed ends a line: any user can mount something at a name with a carriage return in it.
    """
    try:
        with os.fdopen(os.open(f"{process}/mountinfo", _READ, dir_fd=proc), "rb") as file:
            lines = [line.split(b" ", _FIELDS) for line in file.read().split(b"\n")]
    except OSError:
        return []
    return [Mount(*map(_unescape, fields[2:_FIELDS])) for fields in lines if len(fields) > _FIELDS]


def _unescape(field: bytes) -> str:
    """Return a field without the escapes that the kernel writes for spaces, line feeds and backslashes."""
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field))
