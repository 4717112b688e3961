"""The listening socket of `listen`: created, opened to one group, and removed again.

A unix socket gets its name when it is complete: it is bound under a temporary name in the same directory, gets group
and mode, and is renamed. What has the name may be replaced only if it is a socket that no process answers on, which the
caller asks for while it holds the lock of its `directory_root`. Any other file stays.
"""

import errno
import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from struct import Struct

from refresher.errors import RefresherError
from refresher.settings.values import TcpSocket, UnixSocket

_DIRECTORY_MODE = 0o750
_SOCKET_MODE = 0o660
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREDENTIALS = Struct("iII")
"""`struct ucred` of unix(7): process, user, group."""
_LISTENS = "0A"
"""The state of a socket that listens, in proc(5)."""
_BACKLOG = 512
"""Long enough for a burst, and short enough that the last of it is served within a tenth of a second."""
_REMEDIES = {
    errno.EACCES: "run the daemon as a user who may write there (systemd: RuntimeDirectory=), or change `listen`",
    errno.EPERM: "make the daemon's user a member of listen_group, or add CAP_CHOWN to the unit",
    errno.ENOENT: "create the directory above it (systemd: RuntimeDirectory=), or change `listen`",
    errno.EADDRINUSE: "stop the process that has this address (ss -lptn), or change `listen`",
    errno.EADDRNOTAVAIL: "use an address of this machine in `listen`",
}
_CHANGE = "change `listen`, or set it to none"


class ListenError(RefresherError):
    """The address of `listen` can't be listened on; trying again may succeed, since what it lacks may be created."""

    usually_retryable = True


@contextmanager
def open_listener(address: UnixSocket | TcpSocket, group: str | None) -> Iterator[socket.socket]:
    """Listen on an address for the length of a `with` block; a unix socket is removed at its end.

    Raises:
        ListenError: It can't be done; nothing was replaced.
    """
    with _open_unix(address.path, group) if isinstance(address, UnixSocket) else _open_tcp(address) as listener:
        yield listener


def read_peer(peer: socket.socket) -> tuple[int, int]:
    """Return process and user at the other end of a unix socket, as the kernel knows them (SO_PEERCRED, unix(7)).

    Of a listening socket they are those that listen; the process is 0 if it is of another PID namespace.
    """
    pid, uid, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def read_place(address: UnixSocket | TcpSocket) -> tuple[int, int] | None:
    """Return what lies at the path of a unix socket, by device and inode; None for nothing, and of a TCP address."""
    if isinstance(address, TcpSocket):
        return None
    try:
        status = address.path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def find_group(name: str) -> int:
    """Return the number of a group of this machine, or raise a `ListenError`."""
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise ListenError(
            f'listen_group is "{name}", a group that this machine does not have', f"create it: groupadd --system {name}"
        ) from None


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def check_address(address: UnixSocket | TcpSocket, group: str | None, *, is_taken: bool) -> None:
    """Raise a `ListenError` if the daemon can't listen on an address, as far as any user can see.

    `is_taken` is whether the daemon may be listening there now.
    """
    if isinstance(address, TcpSocket):
        with _open_tcp(address, port=0 if is_taken else None):
            return
    if group is not None:
        find_group(group)
    directory = address.path.parent
    with suppress(PermissionError):
        if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
            raise ListenError(f"listen: {directory} is not a directory", f"remove it, or {_CHANGE}")
        if not directory.exists() and not directory.parent.is_dir():
            raise _build_error(FileNotFoundError(errno.ENOENT, ""), f"listen: {directory}")
        if address.path.exists() and not address.path.is_socket():
            raise _build_taken_error(address.path)


def find_occupant(address: UnixSocket | TcpSocket, daemon: int | None) -> ListenError | None:
    """Return the fault that another process listens where the daemon, a process of this id, should; None if none does.

    With None no daemon runs. Who listens on a port is seen where the daemon's descriptors are: by root and its user.
    """
    if isinstance(address, TcpSocket):
        with suppress(OSError):
            found = set(_list_listeners(Path(f"/proc/{daemon}/net"), address.port))
            own = {str(each.readlink()) for each in Path(f"/proc/{daemon}/fd").iterdir()}
            if found and not found & own:
                return _build_occupied_error("another process", f"{address.host}:{address.port}", "ss -ltnp")
        return None
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(0)
        caller.connect(str(address.path))
        if (peer := read_peer(caller)[0]) not in (0, daemon):
            return _build_occupied_error(f"process {peer}", str(address.path), "ss -lxp")
    return None


def _list_listeners(tables: Path, port: int) -> Iterator[str]:
    """Return what links of descriptors to all sockets are that listen on a port, of any address (proc_net(5))."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (tables / table).read_text(encoding="ascii").splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                    yield f"socket:[{words[9]}]"


def _build_occupied_error(process: str, place: str, command: str) -> ListenError:
    return ListenError(
        f"listen: {process} answers on {place}, and the daemon can't", f"stop it ({command} shows it), or {_CHANGE}"
    )


@contextmanager
def _open_tcp(address: TcpSocket, *, port: int | None = None) -> Iterator[socket.socket]:
    """Listen on an address; with a `port`, on that one of its host instead."""
    shown = f"listen: {address.host}:{address.port}"
    try:
        (family, kind, protocol, _, place), *_ = socket.getaddrinfo(
            address.host, address.port if port is None else port, type=socket.SOCK_STREAM
        )
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _build_error(error, shown) from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise _build_error(error, shown) from error
        yield listener


@contextmanager
def _open_unix(path: Path, group: str | None) -> Iterator[socket.socket]:
    gid = None if group is None else find_group(group)
    try:
        directory = _open_directory(path.parent, path.name, gid)
    except OSError as error:
        raise _build_error(error, f"listen: {path.parent}") from error
    with ExitStack() as stack:
        stack.callback(os.close, directory)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            _check_replaceable(directory, path)
            bound = _bind(listener, directory, path.name, gid)
        except OSError as error:
            raise _build_error(error, f"listen: {path}") from error
        stack.callback(_remove, directory, path.name, bound)
        yield listener


def _remove(directory: int, name: str, bound: os.stat_result) -> None:
    """Remove the socket, unless another daemon has taken its name."""
    with suppress(OSError):
        if os.path.samestat(bound, os.stat(name, dir_fd=directory, follow_symlinks=False)):
            os.unlink(name, dir_fd=directory)


def _open_directory(path: Path, name: str, gid: int | None) -> int:
    """Return a descriptor of the socket's directory, created if it is absent.

    One that holds nothing but the socket is the socket's own: it gets group and mode. Any other is left as it is.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=_DIRECTORY_MODE)
    descriptor = os.open(path, _OPEN)
    try:
        _settle_directory(descriptor, path, name, gid)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _settle_directory(descriptor: int, path: Path, name: str, gid: int | None) -> None:
    status = os.fstat(descriptor)
    if status.st_uid not in (0, os.geteuid()):
        remedy = f"chown {os.geteuid()} {path}, or change `listen`"
        raise ListenError(f"listen: {path} belongs to uid {status.st_uid}, not to the daemon", remedy)
    entries = set(os.listdir(descriptor))
    is_own = status.st_uid == os.geteuid() and not entries - {name}
    if is_own:
        if gid is not None and status.st_gid != gid:
            os.fchown(descriptor, -1, gid)
        os.fchmod(descriptor, _DIRECTORY_MODE)
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
        remedy = f"chmod go-w {path}, or use a directory of its own in `listen`"
        raise ListenError(f"listen: others can write to {path}, and could replace the socket", remedy)


def _check_replaceable(directory: int, path: Path) -> None:
    """Raise a `ListenError` if the name is taken by anything but a socket that no process answers on."""
    try:
        status = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise _build_taken_error(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(0)  # one whose queue is full answers EAGAIN: a process has it
        try:
            caller.connect(f"/proc/self/fd/{directory}/{path.name}")
        except ConnectionRefusedError:
            return
        except BlockingIOError:
            pass
    raise _build_occupied_error("another process", str(path), "ss -lxp")


def _bind(listener: socket.socket, directory: int, name: str, gid: int | None) -> os.stat_result:
    temporary = f".{os.urandom(8).hex()}.tmp"
    listener.bind(f"/proc/self/fd/{directory}/{temporary}")  # a path of its own length could be too long
    try:
        if gid is not None:
            os.chown(temporary, -1, gid, dir_fd=directory, follow_symlinks=False)
        os.chmod(temporary, _SOCKET_MODE, dir_fd=directory)
        listener.listen(_BACKLOG)
        status = os.stat(temporary, dir_fd=directory, follow_symlinks=False)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise
    return status


def _build_taken_error(path: Path) -> ListenError:
    return ListenError(f"listen: {path} exists and is not a socket", f"move it elsewhere, or {_CHANGE}")


def _build_error(error: OSError, shown: str) -> ListenError:
    reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
    return ListenError(f"{shown} can't be listened on: {reason}", _REMEDIES.get(error.errno or 0, _CHANGE))
