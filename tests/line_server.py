"""A server of raw sockets, which treats connections worse than any HTTP library can."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Treat = Callable[[socket.socket, threading.Event], None]
    Serve = Callable[[Treat], "LineServer"]


class LineServer:
    """A server on loopback that handles each connection with a function, in threads that end with it."""

    def __init__(self, treat: Treat) -> None:
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
        """Stop the server and close all connections."""
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            connection.close()


def read_request(connection: socket.socket) -> bytes:
    """Read until the end of the headers."""
    content = b""
    while b"\r\n\r\n" not in content:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError
        content += piece
    return content


def answering(content: bytes) -> Treat:
    """Answer every request of a connection with these bytes."""

    def treat(connection: socket.socket, ended: threading.Event) -> None:
        while not ended.is_set():
            read_request(connection)
            connection.sendall(content)

    return treat


def dripping(start: bytes, piece: bytes) -> Treat:
    """Answer with a beginning, then for ever with a piece, each within the read limit."""

    def treat(connection: socket.socket, ended: threading.Event) -> None:
        read_request(connection)
        connection.sendall(start)
        while not ended.wait(0.05):
            connection.sendall(piece)

    return treat


def silent(_connection: socket.socket, ended: threading.Event) -> None:
    """Accept and send nothing."""
    ended.wait(30)


def closing(connection: socket.socket, _ended: threading.Event) -> None:
    """Read the request and close."""
    read_request(connection)


def closing_at_once(_connection: socket.socket, _ended: threading.Event) -> None:
    """Close without reading the request."""
