"""The emulator over HTTP and HTTPS: an ASGI application on uvicorn, in a thread of its own.

Rules run on the event loop, one after the other: they are quick, and what exists is never half changed. Only issuers
are asked elsewhere, since one of them may well be this very server, and expressions that may take long are evaluated
in a process of their own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import uvicorn

from refresher.emulator.application import Application
from refresher.emulator.certificates import make_certificates
from refresher.emulator.evaluation import Evaluator
from refresher.emulator.protocol import Protocol
from refresher.emulator.routes import OPERATIONS
from refresher.errors import EmulatorError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from refresher.emulator.cloud import Cloud

PATIENCE = 20.0
"""Seconds that the head of a request, or the next piece of its body, may take to arrive."""

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class EmulatorServer:
    """Serves one cloud from `__enter__` to `__exit__`.

    Attributes:
        http: The plain origin, once started.
        https: The secure origin, once started.
        ca_file: What clients of the secure origin must trust, as an absolute path: they may stand elsewhere.
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
                "use 127.0.0.1 or ::1, or say --expose if everybody who reaches it may become anybody",
            )
        self.cloud = cloud
        self._patience = patience
        self._certificates = make_certificates(directory)
        self.ca_file = self._certificates.ca_file.absolute()
        self._sockets = [_listen(host, http_port), _listen(host, https_port)]
        self.http, self.https = (
            f"{scheme}://{_shown(host)}:{listener.getsockname()[1]}"
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._evaluator.close()
        for listener in self._sockets:
            listener.close()

    def ready_line(self) -> str:
        """Give the one line of JSON that tells where it is."""
        return json.dumps({"http": self.http, "https": self.https, "ca_file": str(self.ca_file)})

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        application = Application(self.cloud, self._evaluator, patience=self._patience)
        secure = {"ssl_certfile": self._certificates.certificate_file, "ssl_keyfile": self._certificates.key_file}
        protocol = partial(Protocol, patience=self._patience)
        self._servers = [_server(application, protocol), _server(application, protocol, **secure)]
        tasks = [
            asyncio.create_task(server.serve(sockets=[listener]))
            for server, listener in zip(self._servers, self._sockets, strict=True)
        ]
        self._started.set()  # the sockets listen already: who connects now is answered in a moment
        await asyncio.gather(*tasks)


def _loop_factory() -> Any:  # noqa: ANN401 - uvloop has no types, and is not to be had everywhere
    try:
        import uvloop  # noqa: PLC0415 - not to be had everywhere
    except ImportError:
        return None
    return uvloop.new_event_loop


def _server(application: Application, protocol: Any, **more: Any) -> uvicorn.Server:  # noqa: ANN401 - handed on to uvicorn
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
        raise EmulatorError(f"port {port} of {host} cannot be had: {error.strerror}", "choose another, or 0") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
