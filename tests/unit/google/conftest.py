from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class LineServer:
    """A server on loopback that treats each connection as it is told, in threads that end with it."""

    def __init__(self, treat: Callable[[socket.socket, threading.Event], None]) -> None:
        self._treat = treat
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.ended = threading.Event()
        self.connections: list[socket.socket] = []
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._treat(connection, self.ended)
        except OSError:
            return
        finally:
            connection.close()

    def close(self) -> None:
        """End it, and all connections."""
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket, threading.Event], None]], LineServer]]:
    """Give a maker of servers; all end with the test."""
    servers: list[LineServer] = []

    def make(treat: Callable[[socket.socket, threading.Event], None]) -> LineServer:
        servers.append(LineServer(treat))
        return servers[-1]

    yield make
    for server in servers:
        server.close()
