"""Find files that were mounted by themselves, which cuts their reader off from every replacement.

A mount of a single file (`-v DIR/token:…/token`, Kubernetes' `subPath`) holds the inode that the name had when the
container started; a rename on the host never reaches it. Seen from inside, the file then lies on another mount than the
directory around it, from the first moment on and not only once it is old. Standard library only: the exec probe asks.
Where `/proc` is not mounted, only a file that was already replaced is found: it has no name any more.
"""

import os
import shlex
import stat
from collections.abc import Iterable

from refresher.errors import NotReadyError

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTRY = b"mnt_id:"
_LARGEST = 4096


def suggest_mount(directory: str, inside: str) -> str:
    """Return what to do about a file that is mounted by itself: mount its `directory` of the host where it is seen."""
    volume = shlex.quote(f"{directory}:{inside}:ro")
    return f"start the container again with its directory mounted (-v {volume}, no subPath)"


class SingleFileMountError(NotReadyError):
    """A file of a credentials directory is mounted by itself: waiting does not help."""

    def __init__(self, place: str, *, is_replaced: bool) -> None:
        """Build the two sentences; a file is replaced if the directory has another one in its place by now."""
        consequence = "was replaced since: this is an old one" if is_replaced else "will never be replaced here"
        remedy = suggest_mount("DIRECTORY", place.rpartition("/")[0])
        super().__init__(f"{place} is mounted by itself and {consequence}", remedy)


def find_single_file_mount(directory: int, names: Iterable[str], place: str) -> SingleFileMountError | None:
    """Return the error for the first of these files that was mounted by itself; None without one, or if unknown.

    `directory` is the descriptor of the open directory, `place` its path for the message; files may be absent.
    """
    around = _read_mount_id(directory)
    for name in names:
        try:
            descriptor = os.open(name, _LOOK, dir_fd=directory)
        except OSError:
            continue
        try:
            status = os.fstat(descriptor)
            is_replaced = status.st_nlink == 0
            is_apart = is_replaced if around is None else _read_mount_id(descriptor) != around
        finally:
            os.close(descriptor)
        if is_apart and stat.S_ISREG(status.st_mode):
            return SingleFileMountError(f"{place}/{name}", is_replaced=is_replaced)
    return None


def _read_mount_id(descriptor: int) -> bytes | None:
    """Return the id of the mount that an open file lies on (proc(5), `fdinfo`); None without `/proc`."""
    try:
        information = os.open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        lines = os.read(information, _LARGEST).splitlines()
    finally:
        os.close(information)
    return next((line.removeprefix(_ENTRY).strip() for line in lines if line.startswith(_ENTRY)), None)
