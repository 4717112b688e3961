from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.emulator.conftest import ALICE, BOB, NOW_SECONDS, Google
from tests.unit.emulator.test_iam_credentials import claims_of

FLAVOR = {"Metadata-Flavor": "Google"}
ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"


@pytest.fixture
def machine(google: Google) -> Google:
    """Give a cloud with a machine that runs as alice."""
    google.cloud.state.add_service_account(ALICE)
    google.cloud.state.metadata_account = ALICE
    return google


def test_gives_the_machines_token(machine: Google) -> None:
    """The token speaks for the machine's account."""
    reply = machine.ask("GET", f"{ACCOUNT}/token", headers=FLAVOR)

    assert reply.headers["metadata-flavor"] == "Google"
    assert (reply.document["expires_in"], reply.document["token_type"]) == (3600, "Bearer")
    assert machine.whoami(reply.document["access_token"])["service_account"] == ALICE


def test_caches_tokens_until_five_minutes_before_their_end(machine: Google) -> None:
    """The same token is given again until five minutes of it are left."""
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
def test_refuses_requests_that_a_proxy_may_have_made(machine: Google, path: str, headers: dict[str, str]) -> None:
    """The header must be there and X-Forwarded-For must not."""
    assert machine.ask("GET", path, headers=headers).status == 403


@pytest.mark.parametrize(("form", "has_email"), [("standard", False), ("full", True)])
def test_gives_identity_tokens(machine: Google, form: str, *, has_email: bool) -> None:
    """An identity token is for the audience asked for, and has the e-mail only in its full form."""
    reply = machine.ask("GET", f"{ACCOUNT}/identity", query={"audience": "https://a", "format": form}, headers=FLAVOR)

    claims = claims_of(reply.text or "")
    assert (claims["aud"], claims["exp"]) == ("https://a", NOW_SECONDS + 3600)
    assert ("email" in claims) is has_email


def test_identity_needs_an_audience(machine: Google) -> None:
    """Without an audience there is no identity token."""
    assert machine.ask("GET", f"{ACCOUNT}/identity", headers=FLAVOR).status == 400


@pytest.mark.parametrize("form", ["bogus", "", "FULL"])
def test_knows_two_forms_of_identity_tokens(machine: Google, form: str) -> None:
    """Any form but `standard` and `full` is refused."""
    query = {"audience": "https://a", "format": form}

    assert machine.ask("GET", f"{ACCOUNT}/identity", query=query, headers=FLAVOR).status == 400


@pytest.mark.parametrize("what", ["/token", "/identity", "/email", "/scopes", "/", ""])
def test_knows_the_machines_account_alone(machine: Google, what: str) -> None:
    """The account is there by its e-mail too; any other is not, though it may exist."""
    machine.cloud.state.add_service_account(BOB)
    accounts = ACCOUNT.removesuffix("/default")

    def status(name: str) -> int:
        return machine.ask("GET", f"{accounts}/{name}{what}", query={"audience": "https://a"}, headers=FLAVOR).status

    assert (status("default"), status(ALICE), status(BOB), status("nobody@x")) == (200, 200, 404, 404)


def test_a_disabled_account_has_no_tokens(machine: Google) -> None:
    """A machine of an account that is disabled gets none, also of those that are cached."""
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
def test_describes_the_machine(machine: Google, path: str, text: str) -> None:
    """What clients look up at start is there, as text."""
    assert machine.ask("GET", path, headers=FLAVOR).text == text


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/computeMetadata/v1/instance", 200), (f"{ACCOUNT}/identity", 400)]
)
def test_every_answer_tells_what_it_is(machine: Google, path: str, status: int) -> None:
    """Clients look for a metadata server by the flavor of an answer, and refuse what comes without."""
    reply = machine.ask("GET", path, headers=FLAVOR)

    assert (reply.status, reply.headers["metadata-flavor"]) == (status, "Google")


def test_describes_the_account_recursively(machine: Google) -> None:
    """`recursive=true` gives JSON."""
    reply = machine.ask("GET", f"{ACCOUNT}/", query={"recursive": "true"}, headers=FLAVOR)

    assert reply.document["email"] == ALICE


def test_a_machine_may_have_no_account(google: Google) -> None:
    """Without an account there is nothing to find."""
    assert google.ask("GET", f"{ACCOUNT}/token", headers=FLAVOR).status == 404
