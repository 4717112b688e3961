"""Walk from `directory_root` to a credentials directory by descriptors, trusting no name on the way.

Each component is opened relative to the one before with O_NOFOLLOW, so no symlink is ever followed below the root and
nobody can swap a checked directory for another between check and use. (`openat2` with RESOLVE_NO_SYMLINKS would say the
same of a whole path; one component at a time is needed anyway, since each one's owner and mode are checked.)
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from refresher.errors import PublishError
from refresher.publishing.atomic import ACCESS_LIST, DEFAULT_LIST, drop_inherited, publish_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.publishing.ownership import Ownership

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_BELOW = _OPEN | os.O_NOFOLLOW
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_INTERMEDIATE_MODE = 0o711
_ROOT_MODE = 0o755


class InsecureDirectoryError(PublishError):
    """Somebody other than the daemon could change what lies in a directory."""

    usually_retryable = False


class AbsentDirectoryError(PublishError):
    """A credentials directory is not there and was not to be created."""


def root_warning(root: Path) -> str | None:
    """Say what is unusual about `directory_root`; None if nothing is, or if it is not there."""
    try:
        status = root.stat()
    except OSError:
        return None
    if status.st_mode & _OTHERS_MAY_WRITE:
        return f"{root} can be written by others; the daemon relies on the checks of each directory below it"
    return None


@contextmanager
def open_directory(root: Path, path: Path, *, create: bool) -> Iterator[int]:
    """Give the descriptor of a credentials directory for the length of a `with` block.

    Args:
        root: `directory_root`; made if absent and `create` is set.
        path: The credentials directory, strictly below the root.
        create: Whether missing directories are made; without it nothing at all is changed.

    Raises:
        AbsentDirectoryError: It is not there and `create` is not set.
        InsecureDirectoryError: A component is a symlink, is not the daemon's, or can be written by others.
        PublishError: The system refused.
    """
    descriptors: list[int] = []
    try:
        descriptors.append(open_root(root, create=create))
        trusted = _trusted(os.fstat(descriptors[-1]).st_uid, create=create)
        parts = path.parts[len(root.parts) :]
        place = str(root)
        for part in parts:
            place = f"{place}/{part}"
            descriptors.append(_open_below(descriptors[-1], part, place, create=create))
            _check(descriptors[-1], place, trusted)
        yield descriptors[-1]
    finally:
        for descriptor in reversed(descriptors):
            os.close(descriptor)


@contextmanager
def open_folder(parent: int, name: str, place: str, *, ownership: Ownership, create: bool) -> Iterator[int]:
    """Give the descriptor of a folder inside an open credentials directory, for the length of a `with` block.

    Raises:
        AbsentDirectoryError: It is not there and `create` is not set.
        InsecureDirectoryError: It is a symlink, is not the daemon's, or can be written by others.
        PublishError: The system refused.
    """
    descriptor = _open_below(parent, name, place, create=create)
    try:
        _check(descriptor, place, _trusted(os.fstat(parent).st_uid, create=create))
        if create:
            settle(descriptor, place, ownership)
        yield descriptor
    finally:
        os.close(descriptor)


def open_root(root: Path, *, create: bool) -> int:
    """Give a descriptor of `directory_root`, made if absent and `create` is set.

    Raises:
        AbsentDirectoryError: It is not there and `create` is not set.
        InsecureDirectoryError: It is to be written to, and belongs to neither root nor the daemon.
        PublishError: The system refused.
    """
    try:
        descriptor = _open_or_make_root(root, create=create)
    except FileNotFoundError:
        raise AbsentDirectoryError(f"{root} does not exist", f"create {root}, or start the daemon") from None
    except OSError as error:
        raise publish_error(error, str(root)) from error
    owner = os.fstat(descriptor).st_uid
    if create and owner not in (0, os.geteuid()):
        os.close(descriptor)
        raise InsecureDirectoryError(
            f"directory_root {root} belongs to uid {owner}, neither root nor the daemon (uid {os.geteuid()})",
            f"run this as uid {owner} if that is the daemon's, else chown root {root}",
        )
    return descriptor


def _trusted(owner: int, *, create: bool) -> frozenset[int]:
    """Give whose directories are trusted below one of this owner.

    Who publishes trusts himself alone. Who only reads, root above all, need not be the daemon: the owner of what lies
    above could have replaced everything below anyway.
    """
    return frozenset({os.geteuid()} if create else {os.geteuid(), owner})


def _open_or_make_root(root: Path, *, create: bool) -> int:
    try:
        return os.open(root, _OPEN)
    except FileNotFoundError:
        if not create:
            raise
    for directory in reversed([root, *root.parents]):
        with suppress(FileExistsError):
            directory.mkdir()
            directory.chmod(_ROOT_MODE)
    return os.open(root, _OPEN)


def _open_below(parent: int, name: str, place: str, *, create: bool) -> int:
    try:
        return os.open(name, _OPEN_BELOW, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise AbsentDirectoryError(f"{place} does not exist", "start the daemon, or run `refresher once`") from None
    except NotADirectoryError:
        raise InsecureDirectoryError(
            f"{place} is a symlink or a file where a directory belongs", f"remove {place}; the daemon makes it anew"
        ) from None
    except OSError as error:
        raise publish_error(error, str(place)) from error
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
        os.fsync(parent)
        descriptor = os.open(name, _OPEN_BELOW, dir_fd=parent)
        drop_inherited(descriptor, ACCESS_LIST, DEFAULT_LIST)
        os.fchmod(descriptor, _INTERMEDIATE_MODE)
    except OSError as error:
        raise publish_error(error, str(place)) from error
    return descriptor


def _check(descriptor: int, place: str, trusted: frozenset[int]) -> None:
    status = os.fstat(descriptor)
    if status.st_uid not in trusted:
        raise InsecureDirectoryError(
            f"{place} belongs to uid {status.st_uid}, not to the daemon (uid {os.geteuid()})",
            f"remove {place}, the daemon makes it anew; or chown it to the daemon's user",
        )
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise InsecureDirectoryError(
            f"{place} can be written by others (mode {stat.S_IMODE(status.st_mode):04o})", f"chmod go-w {place}"
        )


def settle(descriptor: int, place: str, ownership: Ownership) -> None:
    """Give an open credentials directory, or a folder in it, its group and mode where they are others.

    Raises:
        PublishError: The system refused.
    """
    status = os.fstat(descriptor)
    try:
        if ownership.gid is not None and status.st_gid != ownership.gid:
            os.fchown(descriptor, -1, ownership.gid)
        if stat.S_IMODE(status.st_mode) != ownership.directory_mode:
            os.fchmod(descriptor, ownership.directory_mode)
    except OSError as error:
        raise publish_error(error, str(place)) from error
