"""No supplier hangs: servers that never answer, drip or close, and programs that sleep, fork, flood or print rubbish.

The daemon beside such a supplier is looked at in `tests/e2e/test_hostile_suppliers.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from refresher.errors import SupplyError
from refresher.google.transport import Limits
from tests.contract.conftest import KINDS, REMOTE, SECRETS
from tests.line_server import LineServer, closing_at_once, dripping, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.conftest import Case, Google
    from tests.line_server import Treat

    MakeCase = Callable[..., Case]

LIMITS = Limits(connect=0.5, read=0.5, call=1.0)
HANGS = pytest.mark.timeout(45)
"""A supply that never ends fails here."""

SERVERS: dict[str, Treat] = {
    "silent": silent,
    "drips a body": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "),
    "drips headers": dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
    "closes": closing_at_once,
}
BEHIND_METADATA = ("self_issued-kms", "google_id_token-generated", "sign_jwt")
"""Kinds that ask another server once they have an access token."""

WITH_A_FILE = {
    "google_access_token": "{kind: google_access_token, accept_unsupported: true, credentials: user.json}",
    "google_id_token": "{kind: google_id_token, via: generate_id_token, credentials: user.json}",
    "sign_jwt": KINDS["sign_jwt"][:-1] + ", credentials: user.json}",
    "self_issued-kms": KINDS["self_issued-kms"][:-1] + ", credentials: user.json}",
}
PROGRAMS = {
    "sleeps": "sleep 600",
    "forks": "sleep 600 & sleep 600 & wait",
    "leaves children with its output": "sleep 600 & exit 1",
    "floods": "yes rubbish",
    "floods its errors": "yes rubbish >&2",
    "rubbish": "head -c 20000 /dev/urandom",
    "ignores signals": "trap '' TERM INT HUP; while true; do sleep 600; done",
}


@pytest.fixture(params=list(SERVERS.values()), ids=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[LineServer]:
    """Give each bad server in turn."""
    made = LineServer(request.param)
    yield made
    made.close()


def failure_of(case: Case) -> SupplyError:
    """Give the failure of a supply, which may pass and shows no secret."""
    with pytest.raises(SupplyError) as caught:
        case.supply()
    assert caught.value.retryable
    assert caught.value.remedy
    assert not any(secret in str(caught.value) for secret in SECRETS)
    return caught.value


@HANGS
@pytest.mark.parametrize("kind", REMOTE)
def test_bad_server_fails_the_supply(case_of: MakeCase, server: LineServer, kind: str) -> None:
    """Whatever the first server that is asked does, the supply ends with a failure that may pass and names it."""
    case = case_of(kind, origin=server.origin, limits=LIMITS)

    assert server.origin.partition("//")[2] in failure_of(case).problem


@HANGS
@pytest.mark.parametrize("kind", BEHIND_METADATA)
def test_bad_server_behind_a_good_one_fails_the_supply(
    case_of: MakeCase, google: Google, server: LineServer, kind: str
) -> None:
    """With an access token in hand the next server may be as bad: the supply ends all the same."""
    case = case_of(kind, origin=server.origin, metadata=google.origin, limits=LIMITS)

    assert server.origin.partition("//")[2] in failure_of(case).problem
    assert google.calls == 1


@HANGS
@pytest.mark.parametrize("kind", WITH_A_FILE)
def test_bad_token_endpoint_fails_the_supply(case_of: MakeCase, server: LineServer, kind: str) -> None:
    """Credentials of a file whose token endpoint is bad fail the supply, whatever google-auth makes of it."""
    case = case_of(kind, supplier=WITH_A_FILE[kind], limits=LIMITS)
    user = {"type": "authorized_user", "client_id": "id", "client_secret": "shh-client"}
    document = user | {"refresh_token": "1//refresh-token", "token_uri": f"{server.origin}/token"}
    (case.directory / "user.json").write_text(json.dumps(document))

    failure_of(case)


@HANGS
def test_bad_issuer_fails_the_discovery(case_of: MakeCase, server: LineServer) -> None:
    """An issuer that does not get through with TLS is not waited for."""
    issuer = server.origin.replace("http:", "https:")
    supplier = f"{{kind: client_credentials, issuer: '{issuer}', client_id: worker, secret_file: secret}}"
    case = case_of("client_credentials", supplier=supplier, limits=LIMITS)

    assert server.origin.partition("//")[2] in failure_of(case).problem


@HANGS
@pytest.mark.parametrize("script", PROGRAMS.values(), ids=PROGRAMS)
def test_bad_program_fails_the_supply(case_of: MakeCase, script: str) -> None:
    """Whatever a program does, the supply ends within its time, with a failure that may pass."""
    case = case_of("command", supplier=f"{{kind: command, timeout: 1s, argv: [/bin/sh, -c, {json.dumps(script)}]}}")

    failure_of(case)
