"""Create a credentials directory together with its files: filled under a temporary name, then renamed.

Every reader sees no directory, or all of it; and the disk is waited for once, not once for each file. Only a name that
is free is taken: containers hold what has it, even an empty directory. A crash leaves a directory under a temporary
name, which no one holds; retirement removes it.
"""

import ctypes
import errno
import os
from collections.abc import Mapping
from contextlib import suppress

from refresher.publishing.artifacts import RECORD
from refresher.publishing.atomic import OWN, Ownership, create
from refresher.publishing.directory import CredentialsDirectory
from refresher.publishing.lock import release_directory, take_directory
from refresher.publishing.walk import open_below, settle

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_RENAME_NOREPLACE = 1
_C_LIBRARY = ctypes.CDLL(None, use_errno=True)


def create_directory(root: int, place: CredentialsDirectory, files: Mapping[str, bytes], lock: int) -> tuple[int, int]:
    """Create a credentials directory with files, and return its descriptor and what `release_directory` takes.

    Args:
        root: Descriptor of `directory_root`.
        place: What is created.
        files: Their contents by name, none of them in a folder.
        lock: Descriptor of the root's lock, by which a directory that is being filled differs from a leftover.

    Raises:
        OSError: The name is taken, or the system refused; nothing is left.
        PublishError: The same.
    """
    path, aside = str(place.path), f".{place.name}.{place.random_name()}.tmp"
    descriptor, byte = open_below(root, aside, path, create=True, is_synced=False), None
    try:
        byte = take_directory(lock, os.fstat(descriptor), path)
        settle(descriptor, path, place.ownership)
        _fill(descriptor, files, place.ownership)
        _rename_to_free_name(root, aside, place.name)
    except BaseException:
        _discard(root, aside)
        if byte is not None:
            release_directory(lock, byte)
        os.close(descriptor)
        raise
    return descriptor, byte


def _fill(directory: int, files: Mapping[str, bytes], ownership: Ownership) -> None:
    """Write all files before the first is synchronised, and ask the system at once to write each out; then wait."""
    descriptors: list[int] = []
    try:
        for name, content in files.items():
            descriptors.append(create(directory, name, content, OWN if name == RECORD else ownership))
            os.posix_fadvise(descriptors[-1], 0, 0, os.POSIX_FADV_DONTNEED)  # begins to write it out
        for descriptor in descriptors:
            os.fsync(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    os.fsync(directory)


def _rename_to_free_name(root: int, former: str, name: str) -> None:
    """Rename a directory to a name that is free (RENAME_NOREPLACE, rename(2)), and synchronise that.

    The error is EEXIST for a name that is taken; file systems, kernels and C libraries without this call have others.
    """
    try:
        rename = _C_LIBRARY.renameat2
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if rename(root, os.fsencode(former), root, os.fsencode(name), ctypes.c_uint(_RENAME_NOREPLACE)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.fsync(root)


def _discard(root: int, aside: str) -> None:
    """Remove what was filled, unless it was renamed, as far as that works."""
    with suppress(OSError):
        directory = os.open(aside, _OPEN, dir_fd=root)
        try:
            for file in os.listdir(directory):
                os.unlink(file, dir_fd=directory)
        finally:
            os.close(directory)
        os.rmdir(aside, dir_fd=root)
