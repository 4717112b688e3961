"""A secret, a token or an assertion goes to the origin that the configuration names, whatever a server answers.

Every kind of supplier, the chain, and google-auth's proof are asked of a server that sends them elsewhere, with a proxy
in the environment that would like to have them too. Where a discovery document may point is tested with
`client_credentials`; that no answer of any server is quoted, in `test_suppliers.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from refresher import adc
from refresher.app.suppliers import open_workshop
from refresher.errors import RefresherError, SupplyError
from refresher.google.chain import GoogleChain
from refresher.google.google_auth import prove
from refresher.google.transport import Limits
from refresher.resources import CLOUD_PLATFORM_SCOPE, Endpoints, Impersonation, WorkloadIdentityProvider
from refresher.tokens import JWT_TYPE, AccessToken
from tests.contract.cases import CASES, REMOTE
from tests.line_server import LineServer, read_request
from tests.tokens import NOW, make_jwt

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.contract.conftest import Case, Server

    MakeCase = Callable[..., Case]

LIMITS = Limits(connect=2, read=2, call=4)
WITH_CREDENTIALS = [name for name, case in CASES.items() if case.takes_credentials]
BEHIND_METADATA = [name for name in WITH_CREDENTIALS if name != "google_access_token"]
PROVIDER = WorkloadIdentityProvider(project_number="123456789012", pool="workers", provider="refresher")
ACCOUNT = "task-alice@my-project.iam.gserviceaccount.com"
WAY = Impersonation(
    provider=PROVIDER,
    subject="user-1",
    subject_token_type=JWT_TYPE,
    service_account=ACCOUNT,
    delegates=(),
    scopes=(CLOUD_PLATFORM_SCOPE,),
    lifetime=None,
)
FEDERATED = AccessToken(value="ya29.d.federated", expires_at=NOW)


class Stranger:
    """A server that no configuration names, and one that sends everybody to it."""

    def __init__(self, status: int) -> None:
        self.requests: list[bytes] = []
        self._status = status
        self._servers = [LineServer(self._listen), LineServer(self._redirect)]
        self.origin, self.redirecting = (server.origin for server in self._servers)

    def _listen(self, connection: socket.socket, _ended: threading.Event) -> None:
        self.requests.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def _redirect(self, connection: socket.socket, _ended: threading.Event) -> None:
        read_request(connection)
        head = f"HTTP/1.1 {self._status} Elsewhere\r\nLocation: {self.origin}/v1/token\r\nMetadata-Flavor: Google\r\n"
        connection.sendall(f"{head}Refresh: 0; url={self.origin}\r\nContent-Length: 0\r\n\r\n".encode())

    def close(self) -> None:
        """End both."""
        for server in self._servers:
            server.close()


@pytest.fixture(params=[301, 302, 303, 307, 308])
def stranger(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stranger]:
    """Return a stranger that redirects with each status, and that is every proxy of the environment."""
    made = Stranger(request.param)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, made.origin)
    yield made
    made.close()


@pytest.mark.parametrize("name", REMOTE)
def test_no_kind_follows_a_server_elsewhere(make_case: MakeCase, stranger: Stranger, name: str) -> None:
    """A redirect of the first server that is asked fails the supply, and nothing is sent to where it points."""
    case = make_case(CASES[name], origin=stranger.redirecting, limits=LIMITS)

    with pytest.raises(SupplyError):
        case.supply()

    assert stranger.requests == []


@pytest.mark.parametrize("name", BEHIND_METADATA)
def test_no_kind_takes_its_access_token_elsewhere(
    make_case: MakeCase, server: Server, stranger: Stranger, name: str
) -> None:
    """With an access token in hand, a redirect of the API fails the supply, and the token goes nowhere else."""
    case = make_case(CASES[name], origin=stranger.redirecting, metadata=server.origin, limits=LIMITS)

    with pytest.raises(SupplyError):
        case.supply()

    assert (stranger.requests, server.calls) == ([], 1)


@pytest.mark.parametrize("name", WITH_CREDENTIALS)
def test_refresh_token_of_a_file_is_not_shown_to_a_proxy(make_case: MakeCase, stranger: Stranger, name: str) -> None:
    """A proxy is asked for a tunnel to Google, and nothing is sent through it to who does not prove to be Google."""
    case = make_case(CASES[name], supplier=CASES[name].supplier[:-1] + ", credentials: user.json}", limits=LIMITS)
    user = {"type": "authorized_user", "client_id": "id", "client_secret": "shh-client"}
    (case.directory / "user.json").write_text(json.dumps(user | {"refresh_token": "1//refresh-token"}))

    with pytest.raises(SupplyError):
        case.supply()

    assert [request.split(b"\r\n")[0] for request in stranger.requests] == [
        b"CONNECT oauth2.googleapis.com:443 HTTP/1.0"
    ]
    assert not any(secret in stranger.requests[0] for secret in (b"shh-client", b"refresh-token"))


def test_chain_and_proof_follow_no_server_elsewhere(stranger: Stranger, tmp_path: Path) -> None:
    """Neither STS nor IAM Credentials can send the subject token or the federated token to another origin."""
    endpoints = Endpoints.of_universe(sts=stranger.redirecting, iam_credentials=stranger.redirecting)
    transport = open_workshop(None, limits=LIMITS).transport
    chain = GoogleChain(transport=transport, endpoints=endpoints, own=lambda *_: FEDERATED)
    (tmp_path / "token").write_text(make_jwt())
    document = adc.adc_document(
        provider=PROVIDER,
        token_path="/in/the/container/token",
        service_account=ACCOUNT,
        lifetime=None,
        quota_project=None,
        endpoints=endpoints,
    )
    attempts: dict[str, Callable[[], object]] = {
        "exchange": partial(chain.exchange, WAY, make_jwt(), NOW),
        "direct exchange": partial(chain.exchange, replace(WAY, service_account=None), make_jwt(), NOW),
        "access token": partial(chain.access_token, WAY, FEDERATED),
        "ID token": partial(chain.id_token, WAY, "https://api", FEDERATED, include_email=True),
        "proof": partial(prove, document, WAY, token_path=tmp_path / "token", transport=transport()),
    }

    for attempt in attempts.values():
        with pytest.raises(RefresherError):
            attempt()

    assert stranger.requests == []
