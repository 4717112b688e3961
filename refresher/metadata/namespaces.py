"""Listening sockets in the network namespaces of containers: how a namespace is found, entered, and listened in.

A path is opened without symbolic links (openat2(2)) below a directory of root's. The thread enters the namespace for a
few system calls, and the process ends if it can't return. Each listener accepts on the loopback interface only
(SO_BINDTODEVICE): without that, another container on the same bridge reaches 169.254.169.254 with one route.
"""

import ctypes
import errno
import os
import select
import socket
import stat
import struct
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from fcntl import ioctl
from typing import TypeVar

from refresher.metadata.wanted import Wanted

LINK_LOCAL = ("169.254.169.254", 80)
LOOPBACK = "127.0.0.1"
_BACKLOG = 128
_CLONE_NEWNET, _NS_GET_NSTYPE = 0x40000000, 0xB703
_SYS_OPENAT2, _NO_SYMLINKS, _BENEATH = 437, 0x04, 0x08
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_RTM_NEWADDR, _REQUEST_FLAGS, _SCOPE_HOST, _IFA_ADDRESS, _IFA_LOCAL = 20, 0x0605, 254, 1, 2

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


class RefusedError(Exception):
    """A request that can't be served: `kind` is absent, occupied or refused."""

    def __init__(self, kind: str, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.kind, self.problem, self.remedy = kind, problem, remedy


def wait_for_input(descriptors: Iterable[int], seconds: float) -> set[int]:
    """Return which descriptors can be read within a time; there may be more open ones than select(2) can count."""
    poller = select.poll()
    for each in descriptors:
        poller.register(each, select.POLLIN)
    return {descriptor for descriptor, _ in poller.poll(round(seconds * 1000))}


def _open_path(directory: int, path: str, flags: int, resolve: int) -> int:
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, resolve)
    found = int(_libc.syscall(_SYS_OPENAT2, directory, path.encode(), how, len(how)))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def open_namespace(path: str, roots: tuple[str, ...]) -> int:
    """Return a descriptor of the network namespace at a path below one of the roots."""
    root = next((each for each in roots if path.startswith(f"{each}/")), None)
    if root is None or os.path.normpath(path) != path or "\0" in path:
        remedy = f"use a path below {' or '.join(roots)}, or add its directory to the file of roots"
        raise RefusedError("refused", f"{path} is not below a configured root", remedy)
    with ExitStack() as stack:
        try:
            directory = _open_path(-100, root, os.O_PATH | os.O_DIRECTORY, _NO_SYMLINKS)
            stack.callback(os.close, directory)
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
            namespace = _open_path(directory, path[len(root) + 1 :], flags, _NO_SYMLINKS | _BENEATH)
        except OSError as error:
            kind = "absent" if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES) else "refused"
            remedy = "create the namespace there first; a symbolic link is not followed"
            raise RefusedError(kind, f"{path} can't be opened: {error.strerror}", remedy) from error
        undo = stack.enter_context(ExitStack())
        undo.callback(os.close, namespace)
        if (found := os.fstat(directory)).st_uid != 0 or found.st_mode & 0o022:
            raise RefusedError("refused", f"others than root can write to {root}", f"run chmod go-w {root}")
        found, kind_of = os.fstat(namespace), 0
        with suppress(OSError):
            kind_of = ioctl(namespace, _NS_GET_NSTYPE) if stat.S_ISREG(found.st_mode) else 0
        if kind_of != _CLONE_NEWNET:  # absent: `ip netns add` creates an ordinary file first, and mounts it on that
            remedy = "bind-mount the container's namespace there"
            raise RefusedError("absent", f"{path} is not a network namespace", remedy)
        for host in ("/proc/self/ns/net", "/proc/1/ns/net"):
            with suppress(OSError):
                if os.path.samestat(os.stat(host), found):  # noqa: PTH116
                    remedy = "start the container with a network namespace of its own"
                    raise RefusedError("refused", f"{path} is the host's network namespace", remedy)
        undo.pop_all()
        return namespace


def run_inside(namespace: int, work: Callable[[], T]) -> T:
    """Return what work returns in a network namespace: nothing else of the thread runs in there."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(namespace, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")
        try:
            return work()
        finally:
            if _libc.setns(own, _CLONE_NEWNET) != 0:
                os._exit(1)  # else the program would go on in a container
    finally:
        os.close(own)


def open_listeners(wanted: Wanted) -> tuple[socket.socket, ...]:
    """Return the listeners in the thread's namespace, after its loopback interface was brought up."""
    _bring_up_loopback()
    with ExitStack() as undo:
        opened = [undo.enter_context(open_listener((LOOPBACK, wanted.port)))]
        if wanted.link_local:
            _add_address(LINK_LOCAL[0])
            opened.append(undo.enter_context(open_listener(LINK_LOCAL)))
        undo.pop_all()
    return tuple(opened)


def open_listener(place: tuple[str, int]) -> socket.socket:
    """Return a listener in the thread's namespace that accepts on the loopback interface only."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            remedy = "end the program in the container that listens there, or choose another port"
            raise RefusedError("occupied", f"{place[0]}:{place[1]} is taken in the namespace", remedy) from error
        raise
    return listener


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = ioctl(control, _SIOCGIFFLAGS, struct.pack("16sh22x", b"lo", 0))
        flags = struct.unpack("16xh22x", answer)[0]
        if not flags & _IFF_UP:
            ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


def _add_address(address: str) -> None:
    """Add an address of one host to the loopback interface (rtnetlink(7)); it may be there already."""
    packed = socket.inet_aton(address)
    body = struct.pack("BBBBI", socket.AF_INET, 32, 0, _SCOPE_HOST, socket.if_nametoindex("lo"))
    for kind in (_IFA_LOCAL, _IFA_ADDRESS):
        body += struct.pack("HH", 4 + len(packed), kind) + packed
    head = struct.pack("IHHII", 16 + len(body), _RTM_NEWADDR, _REQUEST_FLAGS, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
        route.send(head + body)
        error = -struct.unpack_from("i", route.recv(4096), 16)[0]
    if error not in (0, errno.EEXIST):
        raise OSError(error, f"adding {address}: {os.strerror(error)}")
