"""Every kind of supplier, built as the daemon builds it from a configuration, against a small Google on loopback."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import pytest

from refresher.app.suppliers import build_suppliers, open_workshop
from refresher.config.loader import load
from refresher.suppliers.interface import SupplierContext
from refresher.tokens import JWT_TYPE
from tests.contract.cases import CASES, ContractCase
from tests.fakes import FakeSupplier
from tests.tokens import AUDIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from refresher.config.loader import LoadedConfiguration
    from refresher.google.transport import Limits
    from refresher.suppliers.interface import Supplier, SupplierSettings
    from refresher.tokens import SubjectToken

SECRETS = ("eyJ", "ya29", "PRIVATE KEY", "1//refresh-token", "shh-client")
TEXT = """
version: 1
providers: {{main: {{project_number: "123456789012", pool: workers, provider: refresher}}}}
suppliers: {{worker: {supplier}}}
identities: {{}}
directory_root: {root}
google: {{emulator: true,
  endpoints: {{sts: {origin}, iam_credentials: {origin}, cloud_kms: {origin}, metadata: {metadata}}}}}
"""


def build(loaded: LoadedConfiguration, limits: Limits | None = None) -> Supplier:
    """Return the supplier named worker as the daemon builds it, with shorter limits for its calls if given."""
    return build_suppliers(loaded, open_workshop(loaded, limits=limits))["worker"]


class Server:
    """The servers that suppliers call, on loopback; a test may replace their answers."""

    def __init__(self) -> None:
        self.answer: Callable[[str, bytes], bytes | None] = lambda _path, _content: None
        self.calls = 0
        self.repeated: list[str] = []
        self._repeats = False
        self._failure: tuple[int, bytes] | None = None
        self._lock = Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(*outer.respond(self.path, b"", self._list_secrets()))

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(*outer.respond(self.path, content, self._list_secrets()))

            def _list_secrets(self) -> list[str]:
                """Return the values of the headers that may authorise: the standard one and each server's own."""
                found = [
                    value for name, value in self.headers.items() if name.lower().startswith(("authorization", "x-"))
                ]
                return [value.rpartition(" ")[2] for value in found]

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Metadata-Flavor", "Google")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the library's signature
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def respond(self, path: str, content: bytes, secrets: list[str]) -> tuple[int, bytes]:
        """Return status and body for a call, with these secrets in its headers."""
        with self._lock:
            self.calls += 1
        if self._repeats and (secrets or content):
            self.repeated += secrets
            said = " ".join([*secrets, content.decode()])
            error = {"error": {"message": said}, "error_description": said, "message": said, "errors": [said]}
            return 400, json.dumps(error).encode()
        if self._failure is not None:
            return self._failure
        body = self.answer(path, content)
        if body is None:
            body = b'{"access_token": "ya29.source", "expires_in": 3600, "token_type": "Bearer"}'
        return 200, body

    def fail(self, status: int, body: bytes = b"rubbish") -> None:
        """Answer every call with this from now on."""
        self._failure = status, body

    def repeat(self) -> None:
        """Refuse every call that has something to authorise it, in its own words, from now on."""
        self._repeats = True

    def recover(self) -> None:
        """Answer well again."""
        self._failure = None

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Case:
    """One supplier and how it is asked.

    Attributes:
        supplier: What is tested.
        settings: What it was built from; None for the fake.
        server: What it calls, if it calls a server.
        directory: Where its files are.
        subject: The subject of a user in the form that the kind needs.
        now: The wall clock's time.
    """

    supplier: Supplier
    settings: SupplierSettings | None
    server: Server
    directory: Path
    subject: str = "{user}"
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def chooses_subject(self) -> bool:
        """Whether each identity gets a token of its own."""
        settings = self.settings
        return settings is None or settings.needs_subject or settings.needs_source_service_account

    @property
    def is_jwt(self) -> bool:
        """Whether the token is a JWT."""
        return self.settings is None or self.settings.token_type == JWT_TYPE

    def supply(self, user: str = "user-1") -> SubjectToken:
        """Ask for a token of an identity."""
        context = SupplierContext(
            identity="alice",
            subject=self.subject.format(user=user),
            audience=AUDIENCE,
            source_service_account=f"{user}@p.iam.gserviceaccount.com",
        )
        return self.supplier.supply(context, self.now)


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server that works until a test changes that."""
    made = Server()
    yield made
    made.close()


@pytest.fixture
def make_case(tmp_path: Path, server: Server) -> Callable[..., Case]:
    """Return a maker of cases."""

    def make(
        case: ContractCase,
        *,
        supplier: str | None = None,
        origin: str | None = None,
        metadata: str | None = None,
        limits: Limits | None = None,
        prepare: bool = True,
    ) -> Case:
        if prepare:
            case.prepare(tmp_path)
        server.answer = case.answer
        path = tmp_path / "refresher.yaml"
        place = origin or server.origin
        text = TEXT.format(
            supplier=supplier or case.supplier, root=tmp_path / "run", origin=place, metadata=metadata or place
        )
        path.write_text(text.replace("PLACE", str(tmp_path)).replace("ORIGIN", place))
        path.chmod(0o600)
        loaded = load(path)
        return Case(
            supplier=build(loaded, limits),
            settings=loaded.configuration.suppliers["worker"],
            server=server,
            directory=tmp_path,
            subject=case.subject,
        )

    return make


@pytest.fixture(params=[*CASES, "fake"])
def case(request: pytest.FixtureRequest, make_case: Callable[..., Case], server: Server, tmp_path: Path) -> Case:
    """Return each kind of supplier in turn, and the fake that stands for them elsewhere."""
    if request.param == "fake":
        fake = FakeSupplier(lifetime=timedelta(hours=1))
        return Case(supplier=fake, settings=None, server=server, directory=tmp_path)
    return make_case(CASES[request.param])
