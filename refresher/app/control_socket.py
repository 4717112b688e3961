"""The socket on which the daemon takes requests of `refresher once`: `directory_root/.control/socket`.

Its directory has mode 0700 and is the daemon's, so that root and the daemon's user alone can open it. What lies there
is the daemon's own: it holds the lock of the root, so a socket that is there was left by one that was killed. Who takes
the requests is `refresher.app.control`.
"""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from refresher.app.request import SOCKET
from refresher.publishing.atomic import build_publish_error
from refresher.publishing.walk import CONTROL, InsecureDirectoryError

_BACKLOG = 16
_FRESH = f"{SOCKET}.new"
"""Its name until it listens: a caller that found it earlier would take the daemon for dead."""
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)


@contextmanager
def open_control(root: Path) -> Iterator[tuple[socket.socket, Callable[[], bool]]]:
    """Listen below a root whose lock this process holds, for the length of a `with` block.

    Yields the socket, and what returns whether it is still in its place. What a killed daemon left is replaced.

    Raises:
        InsecureDirectoryError: The directory is another user's, or what has the socket's name is not a socket.
        OSError: The daemon may create nothing in the root, or it is gone: the lock of the root shows that.
        PublishError: The system refused for another reason.
    """
    place = f"{root}/{CONTROL}"
    with ExitStack() as stack:
        try:
            around = os.open(root, _OPEN)
            stack.callback(os.close, around)
            with suppress(FileExistsError):
                os.mkdir(CONTROL, 0o700, dir_fd=around)
            directory = os.open(CONTROL, _OPEN | os.O_NOFOLLOW, dir_fd=around)
            stack.callback(os.close, directory)
            _settle(directory, place)
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(f"/proc/self/fd/{directory}/{_FRESH}")
            os.chmod(_FRESH, 0o600, dir_fd=directory)
            listener.listen(_BACKLOG)
            bound = os.stat(_FRESH, dir_fd=directory, follow_symlinks=False)
            os.rename(_FRESH, SOCKET, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            if error.errno in _UNWRITABLE:
                raise
            raise build_publish_error(error, place, done="listened on") from error
        stack.callback(_remove, around, directory, bound)
        yield listener, partial(_is_in_place, root / CONTROL / SOCKET, bound)


def _settle(directory: int, place: str) -> None:
    """Make sure that only the daemon's user can open the directory, and that the socket may have its name."""
    status = os.fstat(directory)
    if status.st_uid != os.geteuid():
        problem = f"{place} belongs to uid {status.st_uid}, not to the daemon (uid {os.geteuid()})"
        raise InsecureDirectoryError(problem, f"as root: rm -r {place}; the daemon creates it again")
    os.fchmod(directory, 0o700)
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(SOCKET, dir_fd=directory, follow_symlinks=False).st_mode):
            raise InsecureDirectoryError(f"{place}/{SOCKET} exists and is not a socket", "move it elsewhere")
    with suppress(FileNotFoundError):
        os.unlink(_FRESH, dir_fd=directory)


def _is_in_place(path: Path, bound: os.stat_result) -> bool:
    with suppress(OSError):
        return os.path.samestat(bound, path.lstat())
    return False


def _remove(around: int, directory: int, bound: os.stat_result) -> None:
    """Remove the socket and its directory, unless another daemon has taken the name."""
    with suppress(OSError):
        if os.path.samestat(bound, os.stat(SOCKET, dir_fd=directory, follow_symlinks=False)):
            os.unlink(SOCKET, dir_fd=directory)
            os.rmdir(CONTROL, dir_fd=around)
