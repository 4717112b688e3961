"""A proxy for `HTTPS_PROXY` that connects clients which only use Google's host names to a server on loopback.

TLS passes through it unchanged. So the server needs a certificate for the host name, and the client must trust it.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PIECE = 65536


class ConnectProxy:
    """Answers `CONNECT HOST:443` for known hosts, and refuses other requests.

    Args:
        ports: The port on loopback for each host.
    """

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._ports = dict(ports)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lines: list[socket.socket] = []
        self.asked: list[str] = []
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop the proxy and close all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for line in (self._listener, *self._lines):
            line.close()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self._lines.append(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        try:
            host = _asked_for(line)
            self.asked.append(host)
            port = self._ports.get(host)
            if port is None:
                line.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", port)) as onward:
                self._lines.append(onward)
                line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(onward, line), daemon=True)
                back.start()
                _copy(line, onward)
                back.join()
        except OSError:
            return
        finally:
            line.close()


def _asked_for(line: socket.socket) -> str:
    """Read a request byte by byte, so that nothing after it is lost; return its host."""
    content = b""
    while not content.endswith(b"\r\n\r\n"):
        piece = line.recv(1)
        if not piece:
            raise ConnectionError
        content += piece
    method, _, rest = content.decode("latin-1").partition(" ")
    return rest.partition(":")[0] if method == "CONNECT" else ""


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return
