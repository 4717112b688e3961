"""The emulator over HTTP and HTTPS: an ASGI application on uvicorn, in a thread of its own.

Rules run on worker threads, since one that discovers an issuer's keys may well ask this very server.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import uvicorn

from refresher.emulator.calls import Call, Reply
from refresher.emulator.certificates import make_certificates
from refresher.emulator.errors import api_refusal
from refresher.emulator.routes import answer
from refresher.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from refresher.emulator.cloud import Cloud

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

LARGEST_BODY = 4 * 1024 * 1024
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class Application:
    """The ASGI application of one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request; there are no websockets here."""
        if scope["type"] != "http":
            return
        body = await _body(receive)
        if body is None:
            refusal = api_refusal("too_large")
            reply = Reply(document=refusal.document, status=refusal.status)
        else:
            reply = await asyncio.to_thread(answer, self._cloud, _call(scope, body))
        content = reply.text.encode() if reply.text is not None else json.dumps(reply.document).encode()
        kind = "text/plain; charset=utf-8" if reply.text is not None else "application/json; charset=UTF-8"
        headers = {"content-type": kind, "content-length": str(len(content)), **reply.headers}
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})


class EmulatorServer:
    """Serves one cloud from `__enter__` to `__exit__`.

    Attributes:
        http: The plain origin, once started.
        https: The secure origin, once started.
        ca_file: What clients of the secure origin must trust.
    """

    def __init__(
        self, cloud: Cloud, directory: Path, *, host: str = "127.0.0.1", http_port: int = 0, https_port: int = 0
    ) -> None:
        if not _is_loopback(host):
            raise EmulatorError(f"{host} is not a loopback address", "the emulator is not secure; use 127.0.0.1 or ::1")
        self.cloud = cloud
        self._certificates = make_certificates(directory)
        self.ca_file = self._certificates.ca_file
        self._sockets = [_listen(host, http_port), _listen(host, https_port)]
        self.http, self.https = (
            f"{scheme}://{_shown(host)}:{listener.getsockname()[1]}"
            for scheme, listener in zip(("http", "https"), self._sockets, strict=True)
        )
        cloud.origin = self.http
        self._servers: list[uvicorn.Server] = []
        self._started = Event()
        self._thread = Thread(target=self._run, name="emulator", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise EmulatorError("the emulator did not start in time", "try again on a machine that is less busy")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        for listener in self._sockets:
            listener.close()

    def ready_line(self) -> str:
        """Give the one line of JSON that tells where it is."""
        return json.dumps({"http": self.http, "https": self.https, "ca_file": str(self.ca_file)})

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        application = Application(self.cloud)
        secure = {"ssl_certfile": self._certificates.certificate_file, "ssl_keyfile": self._certificates.key_file}
        self._servers = [_server(application), _server(application, **secure)]
        tasks = [
            asyncio.create_task(server.serve(sockets=[listener]))
            for server, listener in zip(self._servers, self._sockets, strict=True)
        ]
        self._started.set()  # the sockets listen already: who connects now is answered in a moment
        await asyncio.gather(*tasks)


def _server(application: Application, **more: Any) -> uvicorn.Server:  # noqa: ANN401 - handed on to uvicorn
    return uvicorn.Server(
        uvicorn.Config(
            application,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            backlog=512,
            timeout_graceful_shutdown=1,
            **more,
        )
    )


async def _body(receive: Receive) -> bytes | None:
    """Give the whole body; None if it is too large, all read nevertheless so that the answer reaches the client."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= LARGEST_BODY:
            chunks.append(chunk)
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return b"".join(chunks) if size <= LARGEST_BODY else None


def _call(scope: dict[str, Any], body: bytes) -> Call:
    query = scope["query_string"].decode("latin-1")
    return Call(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
    except OSError as error:
        raise EmulatorError(f"port {port} of {host} cannot be had: {error.strerror}", "choose another, or 0") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
