"""Replace one file in an open directory so that every reader sees the old content or the new, never anything else.

Guaranteed: a process that opens the name at any moment reads one complete content; after a return the new one survives
a power cut. Not guaranteed: that a mount of the *single file* sees the replacement (it keeps the old inode: mount the
directory), nor anything on a file system whose rename is not atomic. Which directory it is, and whether it can be
trusted, is decided in `refresher.publishing.walk`.
"""

import errno
import os
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from refresher.errors import PublishError
from refresher.files import FileState

_TEMPORARY = re.compile(r"\.[A-Za-z0-9_.-]+\.[0-9a-f]{16}\.tmp")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

ACCESS_LIST = "system.posix_acl_access"
DEFAULT_LIST = "system.posix_acl_default"
_NO_LIST = (errno.ENODATA, errno.ENOTSUP)

_REMEDIES = {
    errno.EBUSY: "mount the directory instead of the single file: a rename never reaches a file mounted by itself",
    errno.EISDIR: "remove the directory that stands where the file belongs",
    errno.ENOSPC: "free space on that file system",
    errno.EDQUOT: "raise the quota of the daemon's user on that file system",
    errno.EROFS: "mount that file system writable for the daemon",
    errno.EACCES: (
        "run this as the daemon's user with the unit's rights (docs/operating.md, 'once' next to the daemon); if it is "
        "that, look at the modes of the directories above, and at what AppArmor or SELinux logged"
    ),
    errno.EPERM: "see whether it is immutable (lsattr), and what AppArmor or SELinux logged",
    errno.EIO: "check that disk; nothing was replaced",
    errno.ESTALE: "check the file server; nothing was replaced",
    errno.EMFILE: "raise the daemon's limit of open files (LimitNOFILE=)",
    errno.ENFILE: "raise this machine's limit of open files (sysctl fs.file-max)",
    errno.ENOMEM: "allow the daemon more memory (MemoryMax=)",
}


class Ownership(NamedTuple):
    """Owner and mode of published files, as ids of the host.

    The directory itself always belongs to the daemon: 0750 with the files' group if one is given, else 0711, so that a
    container's user can open a file whose name it knows (contract, "The credentials directory").

    Attributes:
        uid: The files' user; None for the daemon's own.
        gid: The files' and the directory's group; None for the daemon's own.
        mode: The files' permission bits.
    """

    uid: int | None
    gid: int | None
    mode: int

    @property
    def directory_mode(self) -> int:
        """Permission bits of the credentials directory itself."""
        return 0o711 if self.gid is None else 0o750

    def __str__(self) -> str:
        user = "the daemon's user" if self.uid is None else f"user {self.uid}"
        group = "" if self.gid is None else f" and group {self.gid}"
        return f"{user}{group}, with mode {self.mode:04o}"

    def describes(self, state: FileState) -> bool:
        """Return whether a file in this state has the configured owner and mode."""
        return (
            state.mode == self.mode
            and state.uid == (os.geteuid() if self.uid is None else self.uid)
            and (self.gid is None or state.gid == self.gid)
        )


OWN = Ownership(uid=None, gid=None, mode=0o600)
"""Of files that are the daemon's alone."""


def build_publish_error(error: OSError, place: str, *, done: str = "written") -> PublishError:
    """Translate a refusal of the system into a problem that names the place and a remedy.

    Args:
        error: The refusal.
        place: The path.
        done: What was tried, as the participle that follows "can't be".
    """
    code = error.errno or 0
    reason, remedy = os.strerror(code) if code else type(error).__name__, _REMEDIES.get(code, "fix that path and retry")
    if code == errno.ENOSPC and _lacks_inodes(place):
        reason, remedy = f"{reason}: it has no free inodes", "remove files on that file system (`df -i` shows it)"
    return PublishError(f"{place} can't be {done}: {reason}", remedy)


def _lacks_inodes(place: str) -> bool:
    """Return whether the file system of a path, which may be absent, has all of its inodes in use (statvfs(3))."""
    for path in (place, os.path.dirname(place)):  # noqa: PTH120 - the exec probe has no pathlib
        with suppress(OSError):
            found = os.statvfs(path)
            return found.f_files > 0 and found.f_favail == 0
    return False


def build_giving_error(error: OSError, place: str, ownership: Ownership, *, done: str = "written") -> PublishError:
    """Translate a refusal to do what may include setting the owner of a file, or the group of a directory."""
    if error.errno != errno.EPERM or (ownership.uid, ownership.gid) == (None, None):
        return build_publish_error(error, place, done=done)
    owner = " and ".join(
        f"{kind} {number}" for kind, number in (("uid", ownership.uid), ("group", ownership.gid)) if number is not None
    )
    rights = "CAP_CHOWN" if ownership.uid is None else "CAP_CHOWN CAP_DAC_READ_SEARCH"
    other = "set `owner: ':GROUP'`, which needs less"
    if ownership.uid is None:
        other = "add the daemon's user to that group"
    return PublishError(
        f"{place} can't be given to {owner}: {os.strerror(errno.EPERM)}",
        f"grant the daemon {rights.replace(' ', ' and ')}: AmbientCapabilities={rights} and CapabilityBoundingSet="
        f"{rights} in the unit, or start it with `setpriv` (docs/operating.md, 'once' next to the daemon); or {other}; "
        "if it has that right, see lsattr",
    )


def recommend_removal(place: str) -> str:
    """Return the remedy for a credentials directory in which another user has created something."""
    removal = (
        f"as root: rm -r {shlex.quote(place)}; the daemon creates it again, at once after systemctl reload refresher"
    )
    return f"find out who created it; then, {removal}; then {find_containers(place)}"


def find_containers(directory: str) -> str:
    """Return the remedy for containers that hold something former of a credentials directory."""
    command = f"docker ps --filter volume={shlex.quote(directory)}"
    return f"start again each container that has it mounted: `{command}` lists them (podman too)"


def replace(directory: int, name: str, content: bytes, *, ownership: Ownership, random_name: Callable[[], str]) -> None:
    """Put `content` under `name`, whole, with its owner and mode, in one step.

    Args:
        directory: Descriptor of an open directory that was found trustworthy (step 1, `refresher.publishing.walk`).
        name: File name without a slash.
        content: All bytes of the file; nothing is appended.
        ownership: User, group and mode the file has from the moment it can be seen.
        random_name: Returns 16 hex digits that no other user can guess.

    Raises:
        OSError: At any step; the old content is then still in place and no temporary file is left, unless only the
            final synchronisation of the directory failed.
    """
    temporary = f".{name}.{random_name()}.tmp"
    try:
        descriptor = create(directory, temporary, content, ownership)  # steps 2 to 4
        try:
            os.fsync(descriptor)  # 5
        finally:
            os.close(descriptor)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)  # 6
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise
    os.fsync(directory)  # 7


def probe(directory: int, *, size: int, ownership: Ownership, random_name: Callable[[], str]) -> None:
    """Replace nothing with `size` bytes, so that a fault shows before anything is withdrawn; else as `replace`."""
    name = f".probe.{random_name()}.tmp"
    try:
        replace(directory, name, b"\0" * size, ownership=ownership, random_name=random_name)
        os.unlink(name, dir_fd=directory)
    except OSError:
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)
        raise


def sweep(directory: int) -> None:
    """Remove the temporary files that a killed daemon left."""
    for name in filter(is_temporary, os.listdir(directory)):
        with suppress(FileNotFoundError, IsADirectoryError):  # a folder of that name was not left by us
            os.unlink(name, dir_fd=directory)


def drop_inherited(descriptor: int, *lists: str) -> None:
    """Remove access control lists that a new file or directory inherited from its parent (acl(5)).

    They would admit users that mode and owner don't show. A directory has a `DEFAULT_LIST` too, which it would pass on.

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
    """Return whether a name is one of our temporary files'."""
    return _TEMPORARY.fullmatch(name) is not None


def _read_back(directory: int, temporary: str) -> None:
    """Prove that a file that was given away can still be read: else it would look lost at every later visit."""
    try:
        os.close(os.open(temporary, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory))
    except PermissionError:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM)) from None


def create(directory: int, name: str, content: bytes, ownership: Ownership) -> int:
    """Return the descriptor of a new file with its owner, mode and content, which is not synchronised yet.

    Raises:
        OSError: At any step; a file that was created stays.
    """
    descriptor = os.open(name, _CREATE, 0o600, dir_fd=directory)  # 2
    try:
        drop_inherited(descriptor, ACCESS_LIST)  # 3
        os.fchmod(descriptor, ownership.mode)  # mode first, a file given away can no longer be changed
        if ownership.uid is not None or ownership.gid is not None:
            os.fchown(
                descriptor,
                -1 if ownership.uid is None else ownership.uid,
                -1 if ownership.gid is None else ownership.gid,
            )
            if ownership.uid is not None:
                _read_back(directory, name)
        remaining = memoryview(content)
        while remaining:  # 4
            remaining = remaining[os.write(descriptor, remaining) :]
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
