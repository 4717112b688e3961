"""The emulator over HTTP and HTTPS: an ASGI application on uvicorn, in a separate thread.

Rules run on the event loop, one after the other. They are quick, and no request sees a change that is half done. Two
things run elsewhere: requests to issuers, because this very server can be the issuer, and slow expressions, which are
evaluated in a separate process.
"""

import asyncio
import ipaddress
import json
import socket
from asyncio import TimerHandle, Transport
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from refresher.emulator.application import Application
from refresher.emulator.certificates import make_certificates
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.evaluation import Evaluator
from refresher.emulator.routes import OPERATIONS
from refresher.errors import EmulatorError

PATIENCE = 20.0
"""How many seconds the head of a request, or the next piece of its body, may take to arrive."""

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class EmulatorServer:
    """Serves one cloud from `__enter__` to `__exit__`.

    Attributes:
        http: The plain origin.
        https: The secure origin.
        ca_file: The certificate that clients of the secure origin must trust; an absolute path, since clients can run
            in another directory.
    """

    def __init__(
        self,
        cloud: Cloud,
        directory: Path,
        *,
        host: str = "127.0.0.1",
        http_port: int = 0,
        https_port: int = 0,
        exposed: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        if not exposed and not _is_loopback(host):
            raise EmulatorError(
                f"{host} is not a loopback address, and the emulator is not secure",
                "use 127.0.0.1 or ::1; or add --expose if every client that reaches it may act as anyone",
            )
        self.cloud = cloud
        self._patience = patience
        self._certificates = make_certificates(directory)
        self.ca_file = self._certificates.ca_file.absolute()
        self._sockets = [_listen(host, http_port), _listen(host, https_port)]
        self.http, self.https = (
            f"{scheme}://{_format_host(host)}:{listener.getsockname()[1]}"
            for scheme, listener in zip(("http", "https"), self._sockets, strict=True)
        )
        cloud.origin = self.http
        cloud.faults.operations = OPERATIONS
        self._evaluator = Evaluator()
        self._servers: list[uvicorn.Server] = []
        self._started = Event()
        self._thread = Thread(target=self._run, name="emulator", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise EmulatorError("the emulator did not start in time", "try again on a machine that is less busy")
        return self

    def __exit__(self, *error: object) -> None:
        for server in self._servers:
            server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._evaluator.close()
        for listener in self._sockets:
            listener.close()

    def ready_line(self) -> str:
        """Return the line of JSON that shows the origins and the CA file."""
        return json.dumps({"http": self.http, "https": self.https, "ca_file": str(self.ca_file)})

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=_choose_loop()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        application = Application(self.cloud, self._evaluator, patience=self._patience)
        secure = {"ssl_certfile": self._certificates.certificate_file, "ssl_keyfile": self._certificates.key_file}
        protocol = partial(Protocol, patience=self._patience)
        self._servers = [_create_server(application, protocol), _create_server(application, protocol, **secure)]
        tasks = [
            asyncio.create_task(server.serve(sockets=[listener]))
            for server, listener in zip(self._servers, self._sockets, strict=True)
        ]
        self._started.set()  # the sockets are listening already, so an early client only waits a moment
        await asyncio.gather(*tasks)


class Protocol(HttpToolsProtocol):
    """One connection: uvicorn's protocol with a time limit, and with Google's error shape for what is not HTTP."""

    _timer: TimerHandle | None = None

    def __init__(self, *arguments: Any, patience: float, **more: Any) -> None:  # noqa: ANN401 - passed on to uvicorn
        super().__init__(*arguments, **more)
        self._patience = patience

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn uses asyncio's own class
        """Start to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Wait for the rest of a head, and make the connection available to faults in the application."""
        self._wait()
        super().on_message_begin()
        self.scope["extensions"] = {"emulator.transport": self.transport}  # type: ignore[dict-item]  # not part of ASGI

    def on_headers_complete(self) -> None:
        """Stop waiting for the head."""
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not HTTP, in the shape of google.rpc.Status."""
        del msg
        self._refuse("I6")

    def _refuse(self, entry: str) -> None:
        self._stop_waiting()
        refusal = api_refusal(entry)
        content = json.dumps(refusal.document).encode()
        head = f"HTTP/1.1 {refusal.status} Refused\r\ncontent-type: application/json; charset=UTF-8\r\n"
        self.transport.write(f"{head}content-length: {len(content)}\r\nconnection: close\r\n\r\n".encode() + content)
        self.transport.close()

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._refuse, "timeout")

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _choose_loop() -> Any:  # noqa: ANN401 - uvloop has no types, and is optional
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return uvloop.new_event_loop


def _create_server(application: Application, protocol: Any, **more: Any) -> uvicorn.Server:  # noqa: ANN401 - passed on to uvicorn
    return uvicorn.Server(
        uvicorn.Config(
            application,
            http=protocol,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,  # the application's own follows the cloud's clock
            backlog=512,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
            **more,
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise EmulatorError(
            f"port {port} of {host} cannot be used: {error.strerror}", "choose another, or 0"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _format_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
