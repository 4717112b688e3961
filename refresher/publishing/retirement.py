"""Remove what belongs to no target any more: `env` at once, the rest ten minutes later.

It keeps no list: a directory below `directory_root` with our target record whose name no target and no drop-in
file has is retired, whether its target was removed a moment ago or while the daemon was down. A container that still
runs keeps what it has until then: the time since `env` went is the directory's own mtime, which only the daemon can
move. Directories of an earlier version have no record; they are reported and never removed.

What has a temporary name was being filled, or removed, by a process that was killed: it goes at once, unless a process
that is alive holds it.

A drop-in that is refused keeps its directory. If the identity in the record does not exist any more, it was withdrawn,
and `env` alone goes: no new container starts as it.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from refresher.errors import PublishError
from refresher.files import read_state
from refresher.publishing.artifacts import ARTIFACTS, CREDENTIALS, ENVIRONMENT, NAMES, RECORD, TOKEN
from refresher.publishing.atomic import build_publish_error, is_temporary, sweep
from refresher.publishing.directory import read_record
from refresher.publishing.lock import DirectoryHeldError, open_lock, release_directory, take_directory
from refresher.publishing.walk import AbsentDirectoryError, InsecureDirectoryError, open_below, open_root

GRACE = timedelta(minutes=10)


class Retirement(NamedTuple):
    """What one pass did.

    Attributes:
        withdrawn: Names of the directories from which `env` was removed; the rest follows after the grace.
        without_identity: Names of those from which only `env` was removed, each with its identity, which is gone.
        failures: What could not be looked at or removed; it is tried again at the next pass.
        retiring: Names of the directories without `env` whose other files follow after the grace.
    """

    withdrawn: tuple[str, ...] = ()
    without_identity: tuple[tuple[str, str], ...] = ()
    failures: tuple[PublishError, ...] = ()
    retiring: tuple[str, ...] = ()


class _Step(NamedTuple):
    """What was done to a directory: whose `env` was removed, None if none was, and whether the rest waits."""

    identity: str | None = None
    is_waiting: bool = False


def retire_strays(
    root: Path,
    reserved: Collection[str] | None,
    now: datetime,
    targets: Collection[str] | None = None,
    identities: Collection[str] = (),
) -> Retirement:
    """Retire each of our directories that has no reserved name; one that fails keeps none of the others.

    Args:
        root: The `directory_root`.
        reserved: The names of all targets, and of all drop-in files, however broken; None if that can't be known now.
        now: When the grace is compared.
        targets: Those of the reserved names that are targets now; None for all.
        identities: The names of all identities. A directory that is reserved for no target, and whose record names an
            identity that is not among them, loses `env`.
    """
    steps: dict[str, _Step] = {}
    failures: list[PublishError] = []

    def is_reserved(name: str) -> bool:
        return reserved is None or name in reserved

    try:
        with _open_entries(root) as (descriptor, names), open_lock(root) as (_, lock):
            failures += _remove_leftovers(root, descriptor, names, lock)
            for name in names:
                if is_temporary(name) or (is_reserved(name) and (targets is None or name in targets)):
                    continue
                kept = identities if is_reserved(name) else None
                try:
                    steps[name] = _retire_one(descriptor, name, f"{root}/{name}", lock, now, kept=kept)
                except (AbsentDirectoryError, InsecureDirectoryError):
                    continue  # removed meanwhile, or not the daemon's
                except PublishError as error:
                    failures.append(error)
    except AbsentDirectoryError:
        return Retirement()
    except PublishError as error:
        failures.append(error)
    without_env = {name: step.identity for name, step in steps.items() if step.identity is not None}
    return Retirement(
        withdrawn=tuple(name for name in without_env if not is_reserved(name)),
        without_identity=tuple(each for each in without_env.items() if is_reserved(each[0])),
        failures=tuple(failures),
        retiring=tuple(name for name, step in steps.items() if step.is_waiting),
    )


def remove_leftovers(root: Path) -> None:
    """Remove the directories in a root that killed processes left under temporary names, as far as that works."""
    with suppress(PublishError), _open_entries(root) as (descriptor, names):
        if any(map(is_temporary, names)):
            with open_lock(root) as (_, lock):
                _remove_leftovers(root, descriptor, names, lock)


def list_unrecorded(root: Path, reserved: Collection[str]) -> list[str]:
    """Return the names of directories that hold our old files and no target record, and belong to no target.

    A version before target records wrote them, for targets that are gone; nothing removes them. What can't be looked at
    is left out.
    """
    found = []
    with suppress(PublishError), _open_entries(root) as (_, names):
        for name in sorted(set(names) - set(reserved)):
            with suppress(OSError):
                entries = os.listdir(root / name)
                if RECORD not in entries and CREDENTIALS in entries and TOKEN in entries:
                    found.append(name)
    return found


@contextmanager
def _open_entries(root: Path) -> Iterator[tuple[int, list[str]]]:
    """Open the root, and list the directories in it."""
    descriptor = open_root(root, create=False)
    try:
        with os.scandir(descriptor) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield descriptor, names
    except OSError as error:
        raise build_publish_error(error, str(root), done="read") from error
    finally:
        os.close(descriptor)


def _remove_leftovers(root: Path, descriptor: int, names: Collection[str], lock: int | None) -> list[PublishError]:
    """Remove those of the directories that have temporary names and hold nothing but our files; return failures."""
    failures = []
    for name in filter(is_temporary, names):
        place = f"{root}/{name}"
        try:
            directory = open_below(descriptor, name, place, create=False, to_list=True)
            try:
                if os.fstat(directory).st_uid == os.geteuid():
                    with _held(descriptor, name, directory, lock, place):
                        _remove(descriptor, directory, name)
            finally:
                os.close(directory)
        except (AbsentDirectoryError, InsecureDirectoryError, DirectoryHeldError):
            continue  # removed or renamed meanwhile, not the daemon's, or being filled
        except OSError as error:
            failures.append(build_publish_error(error, place, done="removed"))
        except PublishError as error:
            failures.append(error)
    return failures


@contextmanager
def _held(root: int, name: str, directory: int, lock: int | None, place: str) -> Iterator[None]:
    """Hold a directory that has a name for the length of a `with` block, without waiting.

    Raises:
        AbsentDirectoryError: It has another name by now, or none.
        DirectoryHeldError: Another process, or thread, holds it.
        OSError: The system refused.
    """
    status = os.fstat(directory)
    byte = take_directory(lock, status, place, patience=0)
    try:
        present = read_state(name, directory=root, follow=False)
        if present is None or (present.device, present.inode) != (status.st_dev, status.st_ino):
            raise AbsentDirectoryError(f"{place} does not exist any more", "nothing has to be done")
        yield
    finally:
        release_directory(lock, byte)


def _retire_one(
    root: int, name: str, place: str, lock: int | None, now: datetime, *, kept: Collection[str] | None
) -> _Step:
    """Retire one directory if it is ours: remove `env`, or else, after the grace, all of it.

    With `kept`, the name is reserved: nothing but `env` goes, and that only if the identity is not among these.
    """
    directory = open_below(root, name, place, create=False, to_list=True)
    try:
        status = os.fstat(directory)
        if status.st_uid != os.geteuid():
            return _Step()
        record, entries = read_record(directory, place), os.listdir(directory)
        is_remainder = record is None and all(is_temporary(entry) for entry in entries)  # cut short at its first step
        if kept is not None and (record is None or record.identity in kept or ENVIRONMENT not in entries):
            return _Step()
        if record is None and not is_remainder:
            return _Step()
        with _held(root, name, directory, lock, place):
            sweep(directory)
            with suppress(FileNotFoundError):
                os.unlink(ENVIRONMENT, dir_fd=directory)
                os.fsync(directory)
                return _Step("" if record is None else record.identity, is_waiting=kept is None)
            # what a killed daemon left half written goes at once: it may hold a token
            idle = now - datetime.fromtimestamp(os.fstat(directory).st_mtime, UTC)
            if kept is None and (is_remainder or idle >= GRACE):
                _remove(root, directory, name)
                return _Step()
            return _Step(is_waiting=kept is None)
    except OSError as error:
        raise build_publish_error(error, place, done="removed") from error
    finally:
        os.close(directory)


def _remove(root: int, directory: int, name: str) -> None:
    """Remove our files, and then the directory.

    It is moved aside before its record goes: cut short, it is still known, and no target of its name finds it. A file
    that is not ours keeps the directory and its record.
    """
    for row in reversed(ARTIFACTS):
        if row.is_folder:
            _remove_folder(directory, row.name)
        elif row.name != RECORD:
            with suppress(FileNotFoundError):
                os.unlink(row.name, dir_fd=directory)
    if is_temporary(name):
        sweep(directory)
    os.fsync(directory)
    if set(os.listdir(directory)) - NAMES:
        return
    aside = name if is_temporary(name) else f".{name}.{os.urandom(8).hex()}.tmp"
    if aside != name:
        os.rename(name, aside, src_dir_fd=root, dst_dir_fd=root)
    with suppress(FileNotFoundError):
        os.unlink(RECORD, dir_fd=directory)
    os.rmdir(aside, dir_fd=root)
    os.fsync(root)


def _remove_folder(directory: int, name: str) -> None:
    try:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return
    try:
        for file in os.listdir(folder):
            os.unlink(file, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=directory)
