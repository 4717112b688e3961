"""Replace one file in an open directory so that every reader sees the old content or the new, never anything else.

Guaranteed: whoever opens the name at any moment reads one complete content; after a return the new one survives a power
cut. Not guaranteed: that a mount of the *single file* sees the replacement (it keeps the old inode: mount the
directory), nor anything on a file system whose rename is not atomic. Which directory it is, and whether it can be
trusted, is `refresher.publishing.walk`'s business.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from refresher.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.publishing.ownership import Ownership

_TEMPORARY = re.compile(r"\.[A-Za-z0-9_.-]+\.[0-9a-f]{16}\.tmp")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

ACCESS_LIST = "system.posix_acl_access"
DEFAULT_LIST = "system.posix_acl_default"
_NO_LIST = (errno.ENODATA, errno.ENOTSUP)

_REMEDIES = {
    errno.EBUSY: "that file is mounted by itself; mount the directory instead, or a rename can never reach the reader",
    errno.EISDIR: "a directory stands where the file belongs; remove it",
    errno.ENOSPC: "free space on that file system",
    errno.EDQUOT: "raise the quota of the daemon's user on that file system",
    errno.EROFS: "mount that file system writable for the daemon",
    errno.EACCES: "let the daemon write there; it must own the directory",
    errno.EPERM: (
        "run the daemon as root, or give it CAP_CHOWN and CAP_DAC_READ_SEARCH, or drop `owner`; as root, see lsattr"
    ),
    errno.EIO: "check that disk; nothing was replaced",
    errno.EMFILE: "raise the daemon's limit of open files (LimitNOFILE=)",
    errno.ENFILE: "raise this machine's limit of open files (sysctl fs.file-max)",
    errno.ENOMEM: "let the daemon have more memory (MemoryMax=)",
}


def publish_error(error: OSError, place: str, *, done: str = "written") -> PublishError:
    """Translate what the system said about a place, when it was to be written or read, into a problem with a remedy."""
    code = error.errno or 0
    reason = os.strerror(code) if code else type(error).__name__
    return PublishError(f"{place} cannot be {done}: {reason}", _REMEDIES.get(code, "mend that path and try again"))


def replace(directory: int, name: str, content: bytes, *, ownership: Ownership, random_name: Callable[[], str]) -> None:
    """Put `content` under `name`, whole, with its owner and mode, in one step.

    Args:
        directory: Descriptor of an open directory that was found trustworthy (step 1, `refresher.publishing.walk`).
        name: File name without a slash.
        content: All bytes of the file; nothing is appended.
        ownership: User, group and mode the file has from the moment it can be seen.
        random_name: Gives 16 hex digits that nobody can guess.

    Raises:
        OSError: At any step; the old content is then still in place and no temporary file is left, unless only the
            final synchronisation of the directory failed.
    """
    temporary = f".{name}.{random_name()}.tmp"
    try:
        _write(directory, temporary, content, ownership)  # steps 2 to 5
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)  # 6
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise
    os.fsync(directory)  # 7


def probe(directory: int, *, ownership: Ownership, random_name: Callable[[], str]) -> None:
    """Go through the motions of a replacement without replacing anything, so that a fault shows at start.

    Raises:
        OSError: What a real replacement would meet.
    """
    temporary = f".probe.{random_name()}.tmp"
    try:
        _write(directory, temporary, b"probe", ownership)
    finally:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)


def sweep(directory: int) -> int:
    """Remove the temporary files that a killed daemon left; give how many."""
    orphans = [name for name in os.listdir(directory) if is_temporary(name)]
    for name in orphans:
        with suppress(FileNotFoundError, IsADirectoryError):  # a folder of that name is nobody's orphan
            os.unlink(name, dir_fd=directory)
    return len(orphans)


def drop_inherited(descriptor: int, *lists: str) -> None:
    """Remove access control lists that a new file or directory was given by the default one of its parent (acl(5)).

    They would let users in of whom mode and owner say nothing.

    Args:
        descriptor: Of what was just made.
        lists: `ACCESS_LIST`, and of a directory `DEFAULT_LIST`, which it would hand on.

    Raises:
        OSError: There is one and it stays.
    """
    for name in lists:
        try:
            os.removexattr(descriptor, name)
        except OSError as error:
            if error.errno not in _NO_LIST:
                raise


def is_temporary(name: str) -> bool:
    """Tell whether a file name is one of our temporary files'."""
    return _TEMPORARY.fullmatch(name) is not None


def _read_back(directory: int, temporary: str) -> None:
    """Prove that a file that was given away can still be read: it would count as lost at every later visit."""
    try:
        os.close(os.open(temporary, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory))
    except PermissionError:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM)) from None


def _write(directory: int, temporary: str, content: bytes, ownership: Ownership) -> None:
    descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=directory)  # 2
    try:
        drop_inherited(descriptor, ACCESS_LIST)  # 3
        os.fchmod(descriptor, ownership.mode)  # mode first, a file given away can no longer be changed
        if ownership.uid is not None or ownership.gid is not None:
            os.fchown(
                descriptor,
                -1 if ownership.uid is None else ownership.uid,
                -1 if ownership.gid is None else ownership.gid,
            )
            _read_back(directory, temporary)
        remaining = memoryview(content)
        while remaining:  # 4
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)  # 5
    finally:
        os.close(descriptor)
