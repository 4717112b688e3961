"""A bound on a whole HTTP call, which neither urllib3 nor a socket has: each of their limits starts anew at every byte.

A timer shuts the connection's socket down; whatever the calling thread then waits for ends at once. That covers the TLS
handshake, headers and body. It does not cover name resolution, which ends as the system's resolver says.
"""

from __future__ import annotations

import os
import socket
from threading import Lock, Timer, local
from typing import TYPE_CHECKING

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_present = local()


class Deadline:
    """Ends the call that this thread makes inside the `with` block; for one call.

    Attributes:
        has_passed: Whether it had to.
    """

    def __init__(self, seconds: float) -> None:
        self.has_passed = False
        self._lock = Lock()
        self._line: socket.socket | None = None
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        _present.deadline = self
        self._timer.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        _present.deadline = None
        with self._lock:
            self._drop()

    def watch(self, line: socket.socket) -> None:
        """Let this socket be the one to shut down; its descriptor is copied, for TLS takes the socket's own away."""
        with self._lock:
            self._drop()
            self._line = socket.socket(fileno=os.dup(line.fileno()))
            if self.has_passed:
                self._shut_down()

    def _end(self) -> None:
        with self._lock:
            self.has_passed = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._line is not None:
            try:
                self._line.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the other side was faster

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def bounded_pools() -> dict[str, type[HTTPConnectionPool]]:
    """Give the kinds of connection pools, by scheme, whose connections know the calling thread's deadline."""
    return {"http": _PlainPool, "https": _SecurePool}


def _watch(line: socket.socket | None) -> None:
    deadline: Deadline | None = getattr(_present, "deadline", None)
    if deadline is not None and line is not None:
        deadline.watch(line)


class _PlainConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        line = super()._new_conn()
        _watch(line)
        return line

    def putrequest(
        self,
        method: str,
        url: str,
        skip_host: bool = False,  # noqa: FBT001, FBT002 - http.client's signature
        skip_accept_encoding: bool = False,  # noqa: FBT001, FBT002 - http.client's signature
    ) -> None:
        """Begin a request, perhaps on a connection that was kept."""
        _watch(self.sock)
        super().putrequest(method, url, skip_host=skip_host, skip_accept_encoding=skip_accept_encoding)


class _SecureConnection(_PlainConnection, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
