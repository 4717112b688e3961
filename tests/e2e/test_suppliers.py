"""Every kind of supplier on the emulator: published, exchanged, impersonated, and refused without a role."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import jwt
import pytest

from refresher.keys.jose import PrivateKey
from refresher.suppliers.interface import KINDS, load_kind
from refresher.tokens import encode_base64url
from tests.program import account_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.program import Worker

    Act = Callable[[Path, Scenario], dict[str, str]]

GOOGLE = "https://accounts.google.com"
ISSUER = "https://idp.invalid"
SIGNER, SOURCE, MACHINE = account_of("signer"), account_of("source"), account_of("machine")
CRYPTO_KEY = "projects/my-project/locations/global/keyRings/workers/cryptoKeys/signer"
CREATOR = "roles/iam.serviceAccountTokenCreator"
AUDIENCE = "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
KUBERNETES_SUBJECT = "system:serviceaccount:users:alice"


class OtherIssuer:
    """An issuer that is not Google: it signs tokens, and answers as an OpenID provider and as an API server do."""

    def __init__(self) -> None:
        self.key = PrivateKey.generate("ES256")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                is_kubernetes = self.path.startswith("/api/")
                token = outer.token(KUBERNETES_SUBJECT if is_kubernetes else "client-1")
                document = {"status": {"token": token}} if is_kubernetes else {"access_token": token}
                body = json.dumps(document).encode()
                self.send_response(201 if is_kubernetes else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the library's signature
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def token(self, subject: str) -> str:
        """Sign a token of an hour."""
        now = int(datetime.now(UTC).timestamp())
        parts = (
            {"alg": "ES256", "kid": self.key.kid},
            {"iss": ISSUER, "sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + 3600},
        )
        message = ".".join(encode_base64url(json.dumps(part).encode()) for part in parts)
        return f"{message}.{encode_base64url(self.key.sign(message.encode()))}"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer() -> Iterator[OtherIssuer]:
    """Return an issuer that is not Google."""
    made = OtherIssuer()
    yield made
    made.close()


def unique_id_of(google: Scenario, email: str) -> str:
    """Return the `sub` of a Google-signed token of an account."""
    return google.add_service_account(email).unique_id


def google_signs(worker: Worker, google: Scenario, issuer: OtherIssuer) -> tuple[dict[str, Any], str]:
    """The machine's own account, from the metadata server."""
    google.add_provider(issuer=GOOGLE)
    return {"kind": "google_id_token"}, unique_id_of(google, MACHINE)


def google_generates(worker: Worker, google: Scenario, issuer: OtherIssuer) -> tuple[dict[str, Any], str]:
    """A source account's ID token, for which the machine asks."""
    google.add_provider(issuer=GOOGLE)
    google.add_service_account(SOURCE)
    google.allow_member(SOURCE, f"serviceAccount:{MACHINE}", "roles/iam.serviceAccountOpenIdTokenCreator")
    return {"kind": "google_id_token", "via": "generate_id_token"}, unique_id_of(google, SOURCE)


def account_signs(worker: Worker, google: Scenario, issuer: OtherIssuer) -> tuple[dict[str, Any], str]:
    """A service account's signature, verified with the keys that Google publishes for it."""
    google.add_service_account(SIGNER)
    google.allow_member(SIGNER, f"serviceAccount:{MACHINE}", CREATOR)
    with urlopen(f"{google.http}/service_accounts/v1/metadata/jwk/{SIGNER}", timeout=10) as answer:  # noqa: S310 - of loopback
        google.add_provider(issuer=ISSUER, jwks=json.load(answer))
    return {"kind": "sign_jwt", "issuer": ISSUER, "service_account": SIGNER}, "user-alice"


def cloud_kms_signs(worker: Worker, google: Scenario, issuer: OtherIssuer) -> tuple[dict[str, Any], str]:
    """A key in Cloud KMS, whose public half the command prints for the upload."""
    google.add_crypto_key(CRYPTO_KEY, signers=(f"serviceAccount:{MACHINE}",))
    supplier = {"kind": "self_issued", "issuer": ISSUER, "signer": {"kms": f"{CRYPTO_KEY}/cryptoKeyVersions/1"}}
    worker.write(worker.document() | {"suppliers": {"it": supplier}})
    printed = worker.run("keys", "jwks", "--config", str(worker.configuration), "--supplier", "it")
    google.add_provider(issuer=ISSUER, jwks=json.loads(printed.stdout))
    return supplier, "user-alice"


def somebody_renews_a_file(worker: Worker, google: Scenario, issuer: OtherIssuer) -> tuple[dict[str, Any], str]:
    """A file that another program keeps fresh."""
    google.add_provider(issuer=ISSUER, jwks={"keys": [issuer.key.public_jwk]})
    (worker.place / "source").write_text(issuer.token("file-1"))
    return {"kind": "file", "path": "source"}, "file-1"


def program_prints(worker: Worker, google: Scenario, issuer: OtherIssuer) -> tuple[dict[str, Any], str]:
    """A program's output."""
    google.add_provider(issuer=ISSUER, jwks={"keys": [issuer.key.public_jwk]})
    (worker.place / "source").write_text(issuer.token("command-1"))
    return {"kind": "command", "argv": ["/bin/cat", str(worker.place / "source")]}, "command-1"


def provider_grants(worker: Worker, google: Scenario, issuer: OtherIssuer) -> tuple[dict[str, Any], str]:
    """An OpenID provider's answer to a client."""
    google.add_provider(issuer=ISSUER, jwks={"keys": [issuer.key.public_jwk]})
    (worker.place / "secret").write_text("a secret")
    (worker.place / "secret").chmod(0o400)
    settings = {"issuer": ISSUER, "client_id": "worker", "token_url": f"{issuer.origin}/token", "secret_file": "secret"}
    return {"kind": "client_credentials", **settings}, "client-1"


def cluster_grants(worker: Worker, google: Scenario, issuer: OtherIssuer) -> tuple[dict[str, Any], str]:
    """An API server's answer to a token request."""
    google.add_provider(issuer=ISSUER, jwks={"keys": [issuer.key.public_jwk]})
    (worker.place / "own").write_text("own-token")
    return {"kind": "kubernetes", "api_server": issuer.origin, "token_file": "own"}, KUBERNETES_SUBJECT


ARRANGED: dict[str, list[Any]] = {
    "google_id_token": [google_signs, google_generates],
    "sign_jwt": [account_signs],
    "self_issued": [cloud_kms_signs],
    "file": [somebody_renews_a_file],
    "command": [program_prints],
    "client_credentials": [provider_grants],
    "kubernetes": [cluster_grants],
}
"""How each kind of supplier is set up."""

REFUSED = {"google_access_token"}
"""Kinds whose tokens STS does not accept for a pool."""


def test_every_kind_goes_the_whole_way() -> None:
    """No kind is forgotten here."""
    assert set(ARRANGED) == set(KINDS) - REFUSED


@pytest.mark.parametrize(
    ("kind", "arrange"), [(kind, arrange) for kind, functions in ARRANGED.items() for arrange in functions]
)
def test_whole_way(
    cloud: tuple[Worker, Scenario],
    act: Act,
    issuer: OtherIssuer,
    kind: str,
    arrange: Any,  # noqa: ANN401 - of a table
) -> None:
    """Google refuses the published token until its subject is bound, and takes it for the account then."""
    worker, google = cloud
    google.add_service_account(MACHINE)
    google.state.metadata_account = MACHINE
    supplier, subject = arrange(worker, google, issuer)
    assert supplier["kind"] == kind
    google.add_service_account(account_of("target"))
    identity: dict[str, Any] = {"service_account": account_of("target")}
    if load_kind(kind).needs_subject:
        identity["subject"] = subject
    if supplier.get("via"):
        identity["source_service_account"] = SOURCE
    worker.write(
        worker.document() | {"suppliers": {"it": supplier}, "identities": {"it": identity}, "targets": {"it": {}}}
    )

    worker.once()
    refused = act(worker.directory("it"), google)
    google.allow(account_of("target"), subject=subject)
    accepted = act(worker.directory("it"), google)

    assert "iam.serviceAccounts.getAccessToken" in refused["refused"]
    assert accepted["service_account"] == account_of("target")


def test_other_constant_claims_supersede_a_token(worker: Worker) -> None:
    """A token with other constant claims than the configured ones is replaced at once, an equal one is kept."""
    document = worker.document("alice")
    document["suppliers"]["worker"]["claims"] = {"worker": "w-16"}
    worker.write(document)
    worker.once()
    first = worker.token("alice")
    worker.once()
    same = worker.token("alice")

    document["suppliers"]["worker"]["claims"] = {"worker": "w-17"}
    worker.write(document)
    worker.once()

    second = worker.token("alice")
    claims = jwt.decode(second, options={"verify_signature": False})
    assert (same, claims["worker"]) == (first, "w-17")
