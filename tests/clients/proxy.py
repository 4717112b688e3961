"""A proxy that connects each host name with an origin, for tools that always use Google's host names.

It answers `CONNECT` (RFC 9110, section 9.3.6) and passes bytes on. So the tool speaks TLS with that origin, and checks
its certificate for the requested host name.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK = 65536


@contextmanager
def proxy(origins: Mapping[str, str]) -> Iterator[str]:
    """Run a proxy for the length of a `with` block; yield the proxy's own origin.

    Args:
        origins: The origin of each host; other hosts are refused.
    """
    places = {host: (str(urlsplit(origin).hostname), urlsplit(origin).port or 443) for host, origin in origins.items()}

    class Handler(StreamRequestHandler):
        """One connection."""

        def handle(self) -> None:
            """Read the request's head, connect, and pass on bytes in both directions until one side is done."""
            _, _, target = self.rfile.readline().decode("latin-1").partition(" ")
            while self.rfile.readline().strip():
                pass
            place = places.get(target.partition(":")[0])
            if place is None:
                self.connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(place) as upstream:
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
