"""Open `directory_root` and a credentials directory in it by descriptors, trusting no name on the way.

Every directory below the root is opened relative to its parent with O_NOFOLLOW, so no symlink is ever followed below
the root and no other user can swap a checked directory for another between check and use.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from refresher.errors import PublishError
from refresher.publishing.atomic import (
    ACCESS_LIST,
    DEFAULT_LIST,
    Ownership,
    build_giving_error,
    build_publish_error,
    drop_inherited,
    recommend_removal,
)

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FIRST_MODE = 0o711
"""Of a new directory: never more than the final mode lets in, and enough if a crash keeps it from being settled."""
_ROOT_MODE = 0o755
_CREATING = Lock()
LOCK = ".lock"
"""In a root: the daemon's own file, by which `lock` and `daemon_lock` lock; its owner is the daemon's user."""
CONTROL = ".control"
"""In a root: the directory of the socket on which the daemon takes requests of `refresher once`."""


class InsecureDirectoryError(PublishError):
    """A user other than the daemon's could change what lies in a directory."""

    usually_retryable = False


class UnusableRootError(PublishError):
    """The daemon can create nothing in `directory_root`, or not the root itself: the fault is the root's."""


class AbsentDirectoryError(PublishError):
    """A credentials directory does not exist and was not to be created."""


def open_root(root: Path, *, create: bool, is_shared: bool = False) -> int:
    """Return a descriptor of `directory_root`, created if it is absent and `create` is set.

    Args:
        root: `directory_root`.
        create: Whether something is to be written in it.
        is_shared: Whether directories of more than one identity lie in it. Then no other user may write to it: he could
            rename one directory over another's name (in a sticky root only an owner can rename).

    Raises:
        AbsentDirectoryError: It does not exist and `create` is not set.
        InsecureDirectoryError: It is to be written to, and belongs to neither root nor the daemon, or is shared and
            others can write to it.
        UnusableRootError: It does not exist, and this user may not create it.
        PublishError: The system refused.
    """
    try:
        try:
            descriptor = os.open(root, _OPEN)
        except FileNotFoundError:
            if not create:
                raise AbsentDirectoryError(f"{root} does not exist", f"create {root}, or start the daemon") from None
            try:
                for directory in reversed([root, *root.parents]):
                    _create_with_final_mode(directory)
            except PermissionError:
                user = os.geteuid()
                raise UnusableRootError(
                    f"directory_root {root} does not exist, and uid {user} may not create it",
                    f"if {root} was a mount, mount it again; else, as root: install -d -o {user} -m 0755 {root}",
                ) from None
            descriptor = os.open(root, _OPEN)
    except OSError as error:
        raise build_publish_error(error, str(root), done="opened") from error
    with _closed_on_error(descriptor, str(root)):
        status = os.fstat(descriptor)
        if create and status.st_uid not in (0, os.geteuid()):
            raise InsecureDirectoryError(
                f"directory_root {root} belongs to uid {status.st_uid}, neither root nor the daemon "
                f"(uid {os.geteuid()})",
                f"as root: chown {os.geteuid()} {root}; or, if it was a mount, mount it again with that owner",
            )
        if create and is_shared and can_others_write(status):
            raise InsecureDirectoryError(
                f"others can write to directory_root {root} (mode {stat.S_IMODE(status.st_mode):04o}), "
                "and it holds directories of more than one identity",
                f"chmod go-w {root}, or configure a directory_root for each identity",
            )
    return descriptor


def _create_with_final_mode(directory: Path) -> None:
    """Create a directory unless it exists, in one step; remove the empty ones that runs left which were cut short."""
    with _CREATING:
        if directory.exists():
            return
        fresh = directory.with_name(f".{directory.name}.{os.urandom(8).hex()}.tmp")
        fresh.mkdir()
        try:
            fresh.chmod(_ROOT_MODE)
            fresh.rename(directory)
        except OSError:
            with suppress(OSError):
                fresh.rmdir()
            if not directory.is_dir():  # else another process was faster
                raise
        for left in directory.parent.glob(f".{directory.name}.*.tmp"):
            with suppress(OSError):
                left.rmdir()


def can_others_write(status: os.stat_result) -> bool:
    """Return whether users other than its owner can add and rename what lies in a directory; not if it is sticky."""
    return bool(status.st_mode & _OTHERS_MAY_WRITE) and not status.st_mode & stat.S_ISVTX


def open_below(
    parent: int, name: str, place: str, *, create: bool, to_list: bool = False, is_synced: bool = True
) -> int:
    """Return a descriptor of a directory in an open one, once it is known to be trustworthy.

    Args:
        parent: Descriptor of the directory around it.
        name: Without a slash.
        place: Its path, for messages.
        create: Whether a missing one is created; without it nothing is changed, and the right to traverse it is enough.
        to_list: Whether its entries are to be listed although it is not created.
        is_synced: Whether the name of one that is created is synchronised here; else that is left to the caller.

    Raises:
        AbsentDirectoryError: It does not exist and `create` is not set.
        InsecureDirectoryError: It is a symlink, is not the daemon's, or others can write to it.
        PublishError: The system refused.
    """
    try:
        flags = _OPEN if create or to_list else os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        descriptor = _open_or_create_below(
            parent, name, place, flags | os.O_NOFOLLOW, create=create, is_synced=is_synced
        )
    except OSError as error:
        raise build_publish_error(error, place, done="opened") from error
    with _closed_on_error(descriptor, place):
        status = os.fstat(descriptor)
        trusted = {os.geteuid()} if create else {os.geteuid(), *_list_trusted_by_readers(parent, status.st_uid)}
        if status.st_uid not in trusted:
            daemon = os.geteuid() if create else _list_trusted_by_readers(parent, status.st_uid)[0]
            is_daemon_known = not create or _has_lock(parent)  # a publisher has found its lock to be its own
            raise build_foreign_error(place, status.st_uid, daemon, is_daemon_known=is_daemon_known)
        if status.st_mode & _OTHERS_MAY_WRITE:
            raise InsecureDirectoryError(
                f"others can write to {place} (mode {stat.S_IMODE(status.st_mode):04o})",
                f"chmod go-w {place}; if another user has created something in it: {recommend_removal(place)}",
            )
        if create and status.st_mode & stat.S_IRWXU != stat.S_IRWXU:  # without it not even the record can be read
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) | stat.S_IRWXU)
    return descriptor


def build_foreign_error(place: str, owner: int, daemon: int, *, is_daemon_known: bool = True) -> InsecureDirectoryError:
    """Return the refusal of a directory of another user: what lies in it may be his, so that chown would not do."""
    remedy = recommend_removal(place)
    if not is_daemon_known:
        remedy = f"run this as uid {owner} if that is the daemon's user, else {remedy}"
    return InsecureDirectoryError(f"{place} belongs to uid {owner}, not to the daemon (uid {daemon})", remedy)


def build_uncreatable_error(root: str, status: os.stat_result, name: str) -> UnusableRootError:
    """Return the refusal of a root of another user in which the daemon may create nothing, such as `name`."""
    user = os.geteuid()
    return UnusableRootError(
        f"directory_root {root} belongs to uid {status.st_uid} (mode {stat.S_IMODE(status.st_mode):04o}): the daemon, "
        f"uid {user}, may not create {name} in it",
        f"if {root} is a mount point, mount it again; else, as root: chown {user} {root}",
    )


def _has_lock(root: int) -> bool:
    try:
        os.stat(LOCK, dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return True


def _list_trusted_by_readers(parent: int, owner: int) -> tuple[int, ...]:
    """Return the users whose directories a reader trusts in an open one, the daemon first: readers may be other users.

    Publishers trust their own user alone. A reader trusts the daemon, which owns the lock, and the owner of the
    directory around, who could have replaced everything in it anyway. Without a lock, what lies where only root can
    write was put there by root, and its `owner` is the daemon.
    """
    around = os.fstat(parent)
    try:
        return os.stat(LOCK, dir_fd=parent, follow_symlinks=False).st_uid, around.st_uid
    except OSError:
        is_roots = around.st_uid == 0 and not around.st_mode & _OTHERS_MAY_WRITE
        return (owner, 0) if is_roots else (around.st_uid,)


@contextmanager
def open_folder(
    parent: int, name: str, place: str, *, settled: Ownership | None = None, to_list: bool = False
) -> Iterator[int]:
    """Open a folder in a credentials directory for the length of a `with` block; arguments as of `open_below`.

    With `settled`, its ownership, it is created if it is missing; None changes nothing.
    """
    descriptor = open_below(parent, name, place, create=settled is not None, to_list=to_list)
    try:
        if settled is not None:
            settle(descriptor, place, settled)
        yield descriptor
    finally:
        os.close(descriptor)


def settle(descriptor: int, place: str, ownership: Ownership) -> None:
    """Set the group and mode of an open credentials directory, or of a folder in it, where they differ.

    Raises:
        PublishError: The system refused.
    """
    try:
        status = os.fstat(descriptor)
        if ownership.gid is not None and status.st_gid != ownership.gid:
            os.fchown(descriptor, -1, ownership.gid)
        if stat.S_IMODE(status.st_mode) != ownership.directory_mode:
            os.fchmod(descriptor, ownership.directory_mode)
    except OSError as error:
        raise build_giving_error(error, place, ownership) from error


def _open_or_create_below(parent: int, name: str, place: str, flags: int, *, create: bool, is_synced: bool) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise AbsentDirectoryError(f"{place} does not exist", "start the daemon, or run `refresher once`") from None
    except NotADirectoryError:
        raise InsecureDirectoryError(
            f"{place} is a symlink or a file where a directory belongs",
            f"remove {place}; the daemon creates it again, at once after systemctl reload refresher",
        ) from None
    except PermissionError:
        if not create:
            raise
        return _open_closed_below(parent, name, flags)
    try:
        os.mkdir(name, _FIRST_MODE, dir_fd=parent)
    except FileExistsError:  # another visit, of this process or another, created it since
        return _open_or_create_below(parent, name, place, flags, create=False, is_synced=is_synced)
    except PermissionError:
        around = os.fstat(parent)
        if around.st_uid == os.geteuid():
            raise
        raise build_uncreatable_error(os.path.dirname(place), around, "directories") from None  # noqa: PTH120
    if is_synced:
        os.fsync(parent)
    descriptor = os.open(name, flags, dir_fd=parent)
    with _closed_on_error(descriptor, place):
        drop_inherited(descriptor, ACCESS_LIST, DEFAULT_LIST)
        os.fchmod(descriptor, _FIRST_MODE)  # whatever the umask
    return descriptor


def _open_closed_below(parent: int, name: str, flags: int) -> int:
    """Open a directory whose mode keeps its owner out: the daemon's own gets a mode that works, until it is settled.

    Another user's is opened as it is, so that it can be reported whose it is.
    """
    descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=parent)
    if os.fstat(descriptor).st_uid != os.geteuid():
        return descriptor
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", _FIRST_MODE)  # noqa: PTH101 - by descriptor: the name may change
    finally:
        os.close(descriptor)
    return os.open(name, flags, dir_fd=parent)


@contextmanager
def _closed_on_error(descriptor: int, place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        os.close(descriptor)
        raise build_publish_error(error, place, done="opened") from error
    except PublishError:
        os.close(descriptor)
        raise
