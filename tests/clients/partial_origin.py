"""An https origin in front of another one. It has some services of that origin, and answers 404 for the others.

With several of them, one emulator that has all services at one origin looks like a cloud with several origins.
"""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from email.message import Message
    from pathlib import Path

_OF_ONE_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})
"""Headers of a single connection (RFC 9110, section 7.6.1), and headers that are set again."""
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class PartialOrigin:
    """A running partial origin.

    Attributes:
        origin: Where it listens.
        strays: Requests for services that it does not have.
    """

    origin: str
    strays: list[str] = field(default_factory=list)


@contextmanager
def run_partial_origin(upstream: str, certificates: Path, has: Callable[[str], bool]) -> Iterator[PartialOrigin]:
    """Run a partial origin for the length of a `with` block.

    Args:
        upstream: The http origin that has all services.
        certificates: The directory of `server.pem` and `server.key`.
        has: Returns whether a path exists here.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    with _Server(upstream, has) as server:
        # each connection does its TLS handshake in its own thread
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        Thread(target=server.serve_forever, daemon=True).start()
        yield PartialOrigin(origin=f"https://127.0.0.1:{server.server_port}", strays=server.strays)
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.request.settimeout(_PATIENCE)
        self.request.do_handshake()
        super().setup()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Log nothing."""

    def pass_on(self) -> None:
        """Send the answer of the other origin."""
        body = self._body()
        if not self.server.has(self.path):
            self.server.strays.append(f"{self.command} {self.path}")
            self._answer(404, {}, b'{"error": {"code": 404, "message": "not at this origin"}}')
            return
        connection = HTTPConnection(self.server.upstream, timeout=_PATIENCE)
        try:
            connection.request(self.command, self.path, body, _lasting(self.headers))
            reply = connection.getresponse()
            self._answer(reply.status, _lasting(reply.headers), reply.read())
        finally:
            connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815 - names of the base class

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return content

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str, has: Callable[[str], bool]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.has = has
        self.strays: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that closed their connection, as a tool does when it is done."""


def _lasting(headers: Message) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OF_ONE_HOP}
