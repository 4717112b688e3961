from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.emulator.conftest import ALICE, BOB, NOW_SECONDS, Google
from tests.unit.emulator.test_iam_credentials import read_claims

FLAVOR = {"Metadata-Flavor": "Google"}
ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"


@pytest.fixture
def machine(google: Google) -> Google:
    """Return a cloud with a machine that runs as alice."""
    google.cloud.state.add_service_account(ALICE)
    google.cloud.state.metadata_account = ALICE
    return google


def test_access_token_is_the_machines(machine: Google) -> None:
    """The token authenticates the machine's account."""
    reply = machine.ask("GET", f"{ACCOUNT}/token", headers=FLAVOR)

    assert reply.headers["metadata-flavor"] == "Google"
    assert (reply.document["expires_in"], reply.document["token_type"]) == (3600, "Bearer")
    assert machine.whoami(reply.document["access_token"])["service_account"] == ALICE


def test_access_token_is_cached_until_five_minutes_before_its_expiry(machine: Google) -> None:
    """The same token is returned until it has five minutes left."""
    tokens = []
    for step in (0, 3299, 1):
        machine.clock.pass_(timedelta(seconds=step))
        tokens.append(machine.ask("GET", f"{ACCOUNT}/token", headers=FLAVOR).document)

    assert tokens[1]["access_token"] == tokens[0]["access_token"]
    assert tokens[1]["expires_in"] == 301
    assert tokens[2]["access_token"] != tokens[0]["access_token"]
    assert tokens[2]["expires_in"] == 3600


@pytest.mark.parametrize("headers", [{}, {"Metadata-Flavor": "google"}, {**FLAVOR, "X-Forwarded-For": "10.0.0.1"}])
@pytest.mark.parametrize("path", [f"{ACCOUNT}/token", "/computeMetadata/v1/project/project-id"])
def test_requests_of_a_proxy_are_refused(machine: Google, path: str, headers: dict[str, str]) -> None:
    """The flavor header is required, and X-Forwarded-For is refused."""
    assert machine.ask("GET", path, headers=headers).status == 403


@pytest.mark.parametrize(("form", "has_email"), [("standard", False), ("full", True)])
def test_identity_token_has_the_requested_audience(machine: Google, form: str, *, has_email: bool) -> None:
    """An identity token has the requested audience, and the e-mail only in its full format."""
    reply = machine.ask("GET", f"{ACCOUNT}/identity", query={"audience": "https://a", "format": form}, headers=FLAVOR)

    claims = read_claims(reply.text or "")
    assert (claims["aud"], claims["exp"]) == ("https://a", NOW_SECONDS + 3600)
    assert ("email" in claims) is has_email


def test_identity_token_needs_an_audience(machine: Google) -> None:
    """A request without an audience is refused."""
    assert machine.ask("GET", f"{ACCOUNT}/identity", headers=FLAVOR).status == 400


@pytest.mark.parametrize("form", ["bogus", "", "FULL"])
def test_identity_token_has_two_formats(machine: Google, form: str) -> None:
    """Any format other than `standard` and `full` is refused."""
    query = {"audience": "https://a", "format": form}

    assert machine.ask("GET", f"{ACCOUNT}/identity", query=query, headers=FLAVOR).status == 400


@pytest.mark.parametrize("what", ["/token", "/identity", "/email", "/scopes", "/", ""])
def test_only_the_machines_account_is_found(machine: Google, what: str) -> None:
    """The account is found by its e-mail, too; any other account is not, though it exists."""
    machine.cloud.state.add_service_account(BOB)
    accounts = ACCOUNT.removesuffix("/default")

    def status(name: str) -> int:
        return machine.ask("GET", f"{accounts}/{name}{what}", query={"audience": "https://a"}, headers=FLAVOR).status

    assert (status("default"), status(ALICE), status(BOB), status("nobody@x")) == (200, 200, 404, 404)


def test_disabled_account_gets_no_tokens(machine: Google) -> None:
    """A machine whose account is disabled gets no token, not even a cached one."""
    machine.ask("GET", f"{ACCOUNT}/token", headers=FLAVOR)
    machine.cloud.state.service_accounts[ALICE].disabled = True

    assert machine.ask("GET", f"{ACCOUNT}/token", headers=FLAVOR).status == 404


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"{ACCOUNT}/email", ALICE),
        (f"{ACCOUNT}/scopes", "https://www.googleapis.com/auth/cloud-platform\n"),
        (f"{ACCOUNT}/", "aliases\nemail\nidentity\nscopes\ntoken\n"),
        ("/computeMetadata/v1/instance/service-accounts/", f"default/\n{ALICE}/\n"),
        ("/computeMetadata/v1/instance", "id\nname\nservice-accounts/\nzone\n"),
        ("/computeMetadata/v1/instance/", "id\nname\nservice-accounts/\nzone\n"),
        ("/computeMetadata/v1/instance/id", "4207849484203875001"),
        ("/computeMetadata/v1/instance/name", "emulator"),
        ("/computeMetadata/v1/instance/zone", "projects/123456789012/zones/europe-west1-b"),
        ("/computeMetadata/v1/project/project-id", "my-project"),
        ("/computeMetadata/v1/project/numeric-project-id", "123456789012"),
        ("/computeMetadata/v1/universe/universe-domain", "googleapis.com"),
    ],
)
def test_machine_is_described(machine: Google, path: str, text: str) -> None:
    """What clients look up at their start is returned as text."""
    assert machine.ask("GET", path, headers=FLAVOR).text == text


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/computeMetadata/v1/instance", 200), (f"{ACCOUNT}/identity", 400)]
)
def test_every_answer_has_the_flavor_header(machine: Google, path: str, status: int) -> None:
    """Clients recognise a metadata server by the flavor header, and refuse an answer without it."""
    reply = machine.ask("GET", path, headers=FLAVOR)

    assert (reply.status, reply.headers["metadata-flavor"]) == (status, "Google")


def test_account_is_described_recursively(machine: Google) -> None:
    """`recursive=true` returns JSON."""
    reply = machine.ask("GET", f"{ACCOUNT}/", query={"recursive": "true"}, headers=FLAVOR)

    assert reply.document["email"] == ALICE


def test_machine_can_have_no_account(google: Google) -> None:
    """Without an account nothing is found."""
    assert google.ask("GET", f"{ACCOUNT}/token", headers=FLAVOR).status == 404
