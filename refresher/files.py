"""Bounded reads of regular files, and the state of a file that shows whether it changed.

Opening never blocks on a FIFO or a device, and nothing larger than its limit is read into memory. Who may own a file is
decided by the caller, on the opened descriptor. Standard library only: the exec probe reads through here.
"""

import os
import stat
from collections.abc import Callable
from typing import NamedTuple, Self

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_VOLUME = "..data"
"""The link that the kubelet replaces to publish the files of a Secret or ConfigMap (Kubernetes, AtomicWriter)."""

_PIECE = 1024 * 1024
VOLUME_REMEDY = (
    "mount the volume with readOnly: true, and set its defaultMode to 0400 (with fsGroup 0440); or copy its files "
    "elsewhere in an init container"
)
"""What to do about modes in a directory of the kubelet's, where chmod has no lasting effect."""


class UnsuitableFileError(ValueError):
    """The file is not a regular file of a sensible size; the message follows "is"."""


class FileState(NamedTuple):
    """What changes whenever a file is replaced, rewritten, given away or gets another mode (inode(7)).

    The change time, in nanoseconds since the epoch, covers the modification time: it can't be set back, and every write
    moves both. The mode is the permission bits, without the file's type; the size is in bytes.
    """

    device: int
    inode: int
    changed_ns: int
    size: int
    mode: int
    uid: int
    gid: int

    @classmethod
    def from_stat(cls, status: os.stat_result) -> Self:
        """Return the state that a stat call saw."""
        mode = stat.S_IMODE(status.st_mode)
        return cls(status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size, mode, status.st_uid, status.st_gid)


def is_volume(path: str | os.PathLike[str]) -> bool:
    """Return whether the kubelet manages a directory, or that of a file, so that modes there can't be chosen."""
    places = (path, os.path.dirname(path))  # noqa: PTH120 - the exec probe has no pathlib
    return any(os.path.islink(os.path.join(place, _VOLUME)) for place in places)  # noqa: PTH114, PTH118


def open_directory(path: str | os.PathLike[str]) -> int:
    """Open a directory for reading, and return its descriptor; for one of the kubelet's, that of its present version.

    The kubelet's link to it is followed only where no other user can replace it: link and directory are root's or our
    own, and the directory is sticky, not writable by others, or mounted read-only.

    Raises:
        OSError: It is absent or can't be opened.
    """
    descriptor = os.open(path, _DIRECTORY)
    try:
        link = os.stat(_VOLUME, dir_fd=descriptor, follow_symlinks=False)
        name = os.readlink(_VOLUME, dir_fd=descriptor)
    except OSError:
        return descriptor
    status = os.fstat(descriptor)
    is_open = status.st_mode & _OTHERS_MAY_WRITE and not status.st_mode & stat.S_ISVTX
    is_fixed = not is_open or os.fstatvfs(descriptor).f_flag & os.ST_RDONLY
    if not is_fixed or not {status.st_uid, link.st_uid} <= {0, os.geteuid()} or "/" in name:
        return descriptor
    try:
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def read_state(path: str | os.PathLike[str], *, directory: int | None = None, follow: bool = True) -> FileState | None:
    """Return the state of a file of any kind; None if it is absent or can't be looked at.

    With the descriptor of an open `directory` the path is a name in that.
    """
    try:
        return FileState.from_stat(os.stat(path, dir_fd=directory, follow_symlinks=follow))
    except (OSError, ValueError):
        return None


def read_regular(
    path: str | os.PathLike[str],
    *,
    most: int,
    directory: int | None = None,
    follow: bool = True,
    check: Callable[[os.stat_result], None] | None = None,
) -> tuple[bytes, FileState]:
    """Read a regular file whole, and return its content and its state.

    Args:
        path: The file; a name in `directory` if that is given.
        most: How many bytes it may have.
        directory: Descriptor of an open directory.
        follow: Whether a symbolic link is followed; else it is an `OSError` (ELOOP).
        check: Judges the opened file before it is read; whatever it raises goes through.

    Raises:
        OSError: The file is absent or can't be read.
        UnsuitableFileError: It is not a regular file, or it is larger.
    """
    descriptor = os.open(path, _OPEN if follow else _OPEN | os.O_NOFOLLOW, dir_fd=directory)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnsuitableFileError("not a regular file")
        if check is not None:
            check(status)
        if status.st_size > most:
            raise UnsuitableFileError(f"larger than {most} bytes")
        content = os.read(descriptor, status.st_size + 1)
        # some file systems read in pieces or show no size, and the file may grow meanwhile
        while len(content) != status.st_size and 0 < len(content) <= most:
            if not (more := os.read(descriptor, min(most + 1 - len(content), _PIECE))):
                break
            content += more
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise UnsuitableFileError(f"larger than {most} bytes")
    return content, FileState.from_stat(status)


def explain_failure(error: OSError | ValueError) -> str:
    """Return why a file could not be read, or what was read not decoded; the text follows the file's name."""
    if isinstance(error, OSError):
        return f"cannot be read: {os.strerror(error.errno or 0)}"
    return "is not text" if isinstance(error, UnicodeError) else f"is {error}"
