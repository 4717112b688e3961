"""A bound on a whole HTTP call, which neither urllib3 nor a socket has: their limits start again at every byte.

A timer shuts the connection's socket down; whatever the calling thread then waits for ends at once. That covers the TLS
handshake, a proxy's answer, headers and body. It covers neither name resolution, which ends when the system's resolver
ends it, nor the TCP connection, which has a limit of its own.
"""

from __future__ import annotations

import os
import socket
import ssl
from threading import Lock, Timer, local
from typing import TYPE_CHECKING

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

_current = local()


class Deadline:
    """Ends the call that this thread makes inside the `with` block; for one call.

    Args:
        seconds: After which the call is ended.

    Attributes:
        has_passed: Whether it was ended.
    """

    def __init__(self, seconds: float) -> None:
        self.has_passed = False
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        _current.deadline = self
        self._timer.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        _current.deadline = None
        with self._lock:
            self._drop()

    def watch(self, watched: socket.socket) -> None:
        """Shut this socket down at the end; its descriptor is copied, for TLS takes over the socket's own."""
        with self._lock:
            self._drop()
            self._socket = socket.socket(fileno=os.dup(watched.fileno()))
            if self.has_passed:
                self._shut_down()

    def _end(self) -> None:
        with self._lock:
            self.has_passed = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the other side was faster

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _watch(watched: socket.socket | None) -> None:
    deadline: Deadline | None = getattr(_current, "deadline", None)
    if deadline is not None and watched is not None:
        deadline.watch(watched)


class WatchedSocket(ssl.SSLSocket):
    """The kind of socket for `ssl.SSLContext.sslsocket_class`: watched from its handshake on."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's signature
        """Do the TLS handshake."""
        _watch(self)
        super().do_handshake(block)


class _PlainConnection(HTTPConnection):
    def connect(self) -> None:
        """Connect."""
        super().connect()
        _watch(self.sock)

    def send(self, data: Any) -> None:  # noqa: ANN401 - http.client's signature
        """Send a part of a request, perhaps on a connection that was kept, perhaps to a proxy."""
        _watch(self.sock)
        super().send(data)


class _SecureConnection(_PlainConnection, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


BOUNDED_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _PlainPool, "https": _SecurePool}
"""For `pool_classes_by_scheme`: connection pools whose connections know the calling thread's deadline."""
