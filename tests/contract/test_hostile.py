"""No supplier hangs: servers that never answer, drip or close, and programs that sleep, fork, flood or print rubbish.

The daemon with such a supplier is tested in `tests/e2e/test_hostile_suppliers.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from refresher.errors import SupplyError
from refresher.google.transport import Limits
from tests.contract.cases import CASES, REMOTE
from tests.contract.conftest import SECRETS
from tests.failures import is_retryable
from tests.line_server import LineServer, closing_at_once, dripping, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.conftest import Case, Server
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
WITH_CREDENTIALS = [name for name, case in CASES.items() if case.takes_credentials]
BEHIND_METADATA = [name for name in WITH_CREDENTIALS if name != "google_access_token"]
"""Cases that ask another server once they have an access token."""

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
def bad(request: pytest.FixtureRequest) -> Iterator[LineServer]:
    """Return each bad server in turn."""
    made = LineServer(request.param)
    yield made
    made.close()


def catch_failure(case: Case) -> SupplyError:
    """Return the failure of a supply, which is retryable and shows no secret."""
    with pytest.raises(SupplyError, check=is_retryable) as caught:
        case.supply()
    assert caught.value.remedy
    assert not any(secret in str(caught.value) for secret in SECRETS)
    return caught.value


@HANGS
@pytest.mark.parametrize("name", REMOTE)
def test_bad_server_fails_the_supply(make_case: MakeCase, bad: LineServer, name: str) -> None:
    """Whatever the first server that is asked does, the supply ends with a retryable failure that shows its address."""
    case = make_case(CASES[name], origin=bad.origin, limits=LIMITS)

    assert bad.origin.partition("//")[2] in catch_failure(case).problem


@HANGS
@pytest.mark.parametrize("name", BEHIND_METADATA)
def test_bad_server_behind_a_good_one_fails_the_supply(
    make_case: MakeCase, server: Server, bad: LineServer, name: str
) -> None:
    """With an access token in hand the next server may be as bad: the supply ends all the same."""
    case = make_case(CASES[name], origin=bad.origin, metadata=server.origin, limits=LIMITS)

    assert bad.origin.partition("//")[2] in catch_failure(case).problem
    assert server.calls == 1


@HANGS
@pytest.mark.parametrize("name", WITH_CREDENTIALS)
def test_bad_token_endpoint_fails_the_supply(make_case: MakeCase, bad: LineServer, name: str) -> None:
    """Credentials of a file whose token endpoint is bad fail the supply, whatever google-auth makes of it."""
    case = make_case(CASES[name], supplier=CASES[name].supplier[:-1] + ", credentials: user.json}", limits=LIMITS)
    user = {"type": "authorized_user", "client_id": "id", "client_secret": "shh-client"}
    document = user | {"refresh_token": "1//refresh-token", "token_uri": f"{bad.origin}/token"}
    (case.directory / "user.json").write_text(json.dumps(document))

    catch_failure(case)


@HANGS
def test_bad_issuer_fails_the_discovery(make_case: MakeCase, bad: LineServer) -> None:
    """An issuer that does not complete the TLS handshake is not waited for."""
    issuer = bad.origin.replace("http:", "https:")
    supplier = f"{{kind: client_credentials, issuer: '{issuer}', client_id: worker, secret_file: secret}}"
    case = make_case(CASES["client_credentials"], supplier=supplier, limits=LIMITS)

    assert bad.origin.partition("//")[2] in catch_failure(case).problem


@HANGS
@pytest.mark.parametrize("script", PROGRAMS.values(), ids=PROGRAMS)
def test_bad_program_fails_the_supply(make_case: MakeCase, script: str) -> None:
    """Whatever a program does, the supply ends within its time, with a retryable failure."""
    supplier = f"{{kind: command, timeout: 1s, argv: [/bin/sh, -c, {json.dumps(script)}]}}"

    catch_failure(make_case(CASES["command"], supplier=supplier))
