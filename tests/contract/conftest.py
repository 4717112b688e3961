"""Every kind of supplier, built from a configuration like in the daemon, with a small Google on loopback."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import google_crc32c
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from refresher.app.connections import Connections, connections_of
from refresher.app.suppliers import suppliers_of
from refresher.config.loading import load
from refresher.keys.changes import create
from refresher.suppliers.interface import SupplierContext
from tests.fakes import FakeSupplier
from tests.tokens import AUDIENCE, jwt_of, make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from refresher.config.loading import LoadedConfiguration
    from refresher.google.transport import Limits
    from refresher.suppliers.interface import Supplier
    from refresher.tokens import SubjectToken

SECRETS = ("eyJ", "ya29", "PRIVATE KEY", "1//refresh-token", "shh-client")
METADATA = {"Metadata-Flavor": "Google"}
TEXT = """
version: 1
providers: {{main: {{project_number: "123456789012", pool: workers, provider: refresher}}}}
suppliers: {{worker: {supplier}}}
identities: {{}}
directory_root: {root}
google: {{emulator: true,
  endpoints: {{sts: {origin}, iam_credentials: {origin}, cloud_kms: {origin}, metadata: {metadata}}}}}
"""
VERSION = "projects/p-1-test/locations/global/keyRings/ring/cryptoKeys/key/cryptoKeyVersions/1"
KINDS = {
    "self_issued": "{kind: self_issued, issuer: https://workers.invalid, keys: keys}",
    "self_issued-kms": f"{{kind: self_issued, issuer: https://workers.invalid, signer: {{kms: {VERSION}}}}}",
    "google_id_token-metadata": "{kind: google_id_token}",
    "google_id_token-generated": "{kind: google_id_token, via: generate_id_token}",
    "google_access_token": "{kind: google_access_token, accept_unsupported: true}",
    "file": "{kind: file, path: source-token}",
    "sign_jwt": "{kind: sign_jwt, issuer: https://fleet.invalid, service_account: signer@p-1.iam.gserviceaccount.com}",
    "client_credentials": (
        "{kind: client_credentials, issuer: https://idp.invalid, token_url: ORIGIN/oauth/token, client_id: worker, "
        "secret_file: secret}"
    ),
    "kubernetes": "{kind: kubernetes, api_server: ORIGIN, token_file: own-token}",
    "command": "{kind: command, argv: [/bin/cat, PLACE/source-token]}",
}
CHOOSING = ("self_issued", "self_issued-kms", "google_id_token-generated", "sign_jwt", "kubernetes", "fake")
REMOTE = (
    "self_issued-kms",
    "google_id_token-metadata",
    "google_id_token-generated",
    "google_access_token",
    "sign_jwt",
    "client_credentials",
    "kubernetes",
)


def built(loaded: LoadedConfiguration, limits: Limits | None = None) -> Supplier:
    """Return the supplier `worker` as the daemon builds it, optionally with shorter limits for its calls."""
    connections = connections_of(loaded) if limits is None else Connections(ca_file=None, limits=limits)
    return suppliers_of(loaded, connections)["worker"]


class Google:
    """A metadata server and IAM Credentials on loopback, whose answers a test can replace."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.body = b"rubbish"
        self.calls = 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._lock = Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(*outer.answer(self.path, b""))

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(*outer.answer(self.path, content))

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

    def answer(self, path: str, content: bytes) -> tuple[int, bytes]:
        """Return status and body for a call."""
        with self._lock:
            self.calls += 1
        if self.status is not None:
            return self.status, self.body
        if path.startswith("/api/v1/namespaces/"):
            return 201, _requested_token(path, content)
        return self._answer_well(path, content)

    def _answer_well(self, path: str, content: bytes) -> tuple[int, bytes]:
        if path == "/oauth/token":
            return 200, json.dumps({"access_token": _id_token("client", AUDIENCE), "token_type": "Bearer"}).encode()
        if path.endswith("/token"):
            return 200, b'{"access_token": "ya29.source", "expires_in": 3600, "token_type": "Bearer"}'
        if path.startswith(f"/v1/{VERSION}"):
            return 200, self._kms(content)
        if path.endswith(":signJwt"):
            signed = jwt_of(json.loads(json.loads(content)["payload"]))
            return 200, json.dumps({"keyId": "k", "signedJwt": signed}).encode()
        if path.endswith(":generateIdToken"):
            subject = path.rpartition("/")[2].partition("@")[0]
            return 200, json.dumps({"token": _id_token(subject, json.loads(content)["audience"])}).encode()
        return 200, _id_token("machine", parse_qs(urlsplit(path).query)["audience"][0]).encode()

    def _kms(self, content: bytes) -> bytes:
        if not content:
            pem = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            document = {"pem": pem.decode(), "pemCrc32c": str(google_crc32c.value(pem))}
        else:
            digest = base64.b64decode(json.loads(content)["digest"]["sha256"])
            signature = self.key.sign(digest, ec.ECDSA(Prehashed(SHA256())))
            checksum = str(google_crc32c.value(signature))
            document = {"signature": base64.b64encode(signature).decode(), "signatureCrc32c": checksum}
        known = {"name": VERSION, "algorithm": "EC_SIGN_P256_SHA256", "verifiedDigestCrc32c": True}
        return json.dumps(document | known).encode()

    def fail(self, status: int, body: bytes = b"rubbish") -> None:
        """Answer every call this way from now on."""
        self.status, self.body = status, body

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


def _requested_token(path: str, content: bytes) -> bytes:
    (audience,) = json.loads(content)["spec"]["audiences"]
    _, _, _, namespace, _, name, _ = path.strip("/").split("/")
    return json.dumps({"status": {"token": _id_token(f"system:serviceaccount:{namespace}:{name}", audience)}}).encode()


def _id_token(subject: str, audience: str) -> str:
    return make_jwt(
        subject=subject, audience=audience, issuer="https://accounts.google.com", issued_at=datetime.now(UTC)
    )


@dataclass
class Case:
    """One kind of supplier and how to use it.

    Attributes:
        kind: Its name here.
        supplier: The supplier under test.
        google: The Google that it calls, if any.
        directory: The directory of its files.
    """

    kind: str
    supplier: Supplier
    google: Google
    directory: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def chooses_subject(self) -> bool:
        """Whether the token is for the requested subject."""
        return self.kind in CHOOSING

    @property
    def is_jwt(self) -> bool:
        """Whether the token is a JWT."""
        return self.kind != "google_access_token"

    def subject_of(self, user: str) -> str:
        """Return the subject of a user with this kind."""
        return f"system:serviceaccount:users:{user}" if self.kind == "kubernetes" else user

    def supply(self, subject: str = "user-1") -> SubjectToken:
        """Request a token for an identity."""
        context = SupplierContext(
            identity="alice",
            subject=self.subject_of(subject),
            audience=AUDIENCE,
            source_service_account=f"{subject}@p.iam.gserviceaccount.com",
        )
        return self.supplier.supply(context, self.now)


@pytest.fixture
def google() -> Iterator[Google]:
    """Return a Google that works until a test changes that."""
    made = Google()
    yield made
    made.close()


@pytest.fixture
def case_of(tmp_path: Path, google: Google) -> Callable[..., Case]:
    """Return a function that creates cases."""

    def make(
        kind: str,
        *,
        supplier: str | None = None,
        origin: str | None = None,
        metadata: str | None = None,
        limits: Limits | None = None,
        prepare: bool = True,
    ) -> Case:
        if prepare:
            create(tmp_path / "keys", algorithm="ES256", now=datetime.now(UTC))
            (tmp_path / "own-token").write_text("ya29.own")
            (tmp_path / "secret").write_text("shh-client")
            (tmp_path / "secret").chmod(0o400)
            (tmp_path / "source-token").write_text(_id_token("user-1", AUDIENCE))
        if kind == "fake":
            return Case(
                kind=kind, supplier=FakeSupplier(lifetime=timedelta(hours=1)), google=google, directory=tmp_path
            )
        path = tmp_path / "refresher.yaml"
        place = origin or google.origin
        text = TEXT.format(
            supplier=supplier or KINDS[kind], root=tmp_path / "run", origin=place, metadata=metadata or place
        )
        path.write_text(text.replace("PLACE", str(tmp_path)).replace("ORIGIN", place))
        path.chmod(0o600)
        return Case(kind=kind, supplier=built(load(path), limits), google=google, directory=tmp_path)

    return make


@pytest.fixture(params=[*KINDS, "fake"])
def case(request: pytest.FixtureRequest, case_of: Callable[..., Case]) -> Case:
    """Return each kind of supplier in turn, and the fake that replaces them in other tests."""
    return case_of(request.param)
