"""A proxy that leads every https connection to one place: for tools that call Google by name, whatever they are told.

It answers `CONNECT` (RFC 9110, section 9.3.6) and passes bytes on, so that the tool speaks TLS with that place and
checks its certificate for the name that it wanted.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 65536


@contextmanager
def proxy(origin: str) -> Iterator[str]:
    """Run a proxy to an origin for the length of a `with` block; give its own."""
    place = urlsplit(origin)
    target = (str(place.hostname), place.port or 443)

    class Handler(StreamRequestHandler):
        """One connection."""

        def handle(self) -> None:
            """Read the request's head, connect, and pass on both ways until one side is done."""
            while self.rfile.readline().strip():
                pass
            with socket.create_connection(target) as upstream:
                self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = Thread(target=_pass_on, args=(upstream, self.connection), daemon=True)
                back.start()
                _pass_on(self.connection, upstream)
                back.join()

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
