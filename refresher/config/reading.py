"""Opens and reads configuration files: regular ones, of bounded size, that only root or the daemon could have written.

A file is judged by its opened descriptor, and opening never blocks on a FIFO. Symbolic links are followed for the main
file and what it includes, because that is how Kubernetes mounts them, and refused for drop-ins. What is in the files
is `refresher.config.nodes`' business.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from refresher.config.trust import UnusableFileError, require_trusted

LARGEST = 64 * 1024 * 1024
"""Bytes of one file; a hundred thousand targets fit."""


class Stamp(NamedTuple):
    """What tells one state of a file from the next: the same stamp, the same content."""

    device: int
    inode: int
    modified_ns: int
    changed_ns: int
    size: int


_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_CHUNK = 1024 * 1024


def stamp_of(status: os.stat_result) -> Stamp:
    """Give what tells one state of a file from the next."""
    return Stamp(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


def read_trusted(path: str, *, directory: int | None = None, shown_as: str | None = None) -> tuple[bytes, Stamp]:
    """Read a whole configuration file.

    Args:
        path: Of the file; a name in `directory` if that is given.
        directory: Descriptor of a directory; then the file may not be a symbolic link.
        shown_as: The path for messages; `path` itself without it.

    Raises:
        UnusableFileError: It cannot be read, is no regular file, is too large, or others could have written it.
    """
    name = shown_as or path
    flags = _FLAGS if directory is None else _FLAGS | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, dir_fd=directory)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from error
    try:
        status = os.fstat(descriptor)
        _require_regular(name, status)
        require_trusted(name, status)
        return _read(name, descriptor), stamp_of(status)
    except OSError as error:
        raise _unreadable(name, error) from error
    finally:
        os.close(descriptor)


def _require_regular(name: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UnusableFileError(f"{name} is a directory", "name a file")
    if not stat.S_ISREG(status.st_mode):
        raise UnusableFileError(f"{name} is no regular file", "name a regular file")
    if status.st_size > LARGEST:
        raise _too_large(name)


def _read(name: str, descriptor: int) -> bytes:
    parts = []
    remaining = LARGEST + 1
    while remaining > 0 and (part := os.read(descriptor, min(remaining, _CHUNK))):
        parts.append(part)
        remaining -= len(part)
    if remaining <= 0:
        raise _too_large(name)
    return b"".join(parts)


def _too_large(name: str) -> UnusableFileError:
    return UnusableFileError(f"{name} is larger than {LARGEST // 1024 // 1024} MiB", "split it, or name the right file")


def _unreadable(name: str, error: OSError | ValueError) -> UnusableFileError:
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        return UnusableFileError("a path holds a character that no path may hold", "mend the path")
    if number in {errno.ENOENT, errno.ENOTDIR}:
        return UnusableFileError(f"{name} does not exist", "create it, or mend the path", is_missing=True)
    if number in {errno.EACCES, errno.EPERM}:
        return UnusableFileError(f"{name} may not be read by user {os.geteuid()}", f"chown or chmod u+r {name}")
    if number == errno.ELOOP:
        return UnusableFileError(f"{name} is a symbolic link, or a loop of them", "put the file itself there")
    return UnusableFileError(f"{name} cannot be read: {os.strerror(number)}", "mend that, or name another file")
