from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from refresher.emulator.errors import API, STS
from refresher.emulator.routes import OPERATIONS
from refresher.errors import EmulatorError
from tests.unit.emulator.conftest import ALICE, Google, Issuer

if TYPE_CHECKING:
    from refresher.emulator.testing import Scenario

pytestmark = pytest.mark.slow  # starts the emulator
EMAIL = "/computeMetadata/v1/instance/service-accounts/default/email"


@pytest.fixture
def machine(google_emulator: Scenario) -> Scenario:
    """Give a running emulator with a machine, which answers its e-mail."""
    google_emulator.add_service_account(ALICE)
    google_emulator.state.metadata_account = ALICE
    return google_emulator


def ask(google: Scenario) -> HTTPResponse:
    """Ask for the machine's e-mail."""
    connection = HTTPConnection(urlsplit(google.http).netloc, timeout=20)
    connection.request("GET", EMAIL, headers={"Metadata-Flavor": "Google", "Connection": "close"})
    return connection.getresponse()


def read(google: Scenario) -> tuple[int, bytes]:
    """Ask and give status and body."""
    with ask(google) as answer:
        return answer.status, answer.read()


def test_a_connection_may_be_dropped(machine: Scenario) -> None:
    """Nothing is answered, and the next request is fine."""
    machine.faults.add("metadata.email", drop=True)

    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        ask(machine)

    assert read(machine) == (200, ALICE.encode())


def test_a_body_may_be_cut_off(machine: Scenario) -> None:
    """Half of the body comes, though its whole length was announced."""
    machine.faults.add("metadata.email", truncate=True)

    with ask(machine) as answer, pytest.raises((IncompleteRead, HTTPException, ConnectionError)):
        answer.read()

    assert read(machine) == (200, ALICE.encode())


def test_a_body_may_drip(machine: Scenario) -> None:
    """The body comes byte by byte and whole, later than it would."""
    machine.faults.add("metadata.email", drip=0.005)
    begin = time.monotonic()

    assert read(machine) == (200, ALICE.encode())
    assert time.monotonic() - begin >= 0.005 * (len(ALICE) - 1)


def test_an_answer_may_be_late(machine: Scenario) -> None:
    """The answer comes after the delay, and others do not wait for it."""
    machine.faults.add("metadata.email", delay=0.3)
    begin = time.monotonic()
    connection = HTTPConnection(urlsplit(machine.http).netloc, timeout=20)
    connection.request("GET", EMAIL, headers={"Metadata-Flavor": "Google", "Connection": "close"})

    assert machine.whoami(machine.access_token(f"serviceAccount:{ALICE}"))["service_account"] == ALICE
    other = time.monotonic() - begin
    with connection.getresponse() as answer:
        assert answer.read() == ALICE.encode()
    assert time.monotonic() - begin >= 0.3 > other


def test_the_date_may_be_wrong(machine: Scenario) -> None:
    """The Date header is off by as much as was asked for."""
    machine.faults.add("metadata.email", clock_skew=-7200)

    with ask(machine) as answer:
        said = parsedate_to_datetime(answer.headers["Date"])
    off = (said - machine.clock.now()).total_seconds()

    assert -7210 < off < -7190


def test_a_status_comes_with_a_body_or_with_googles(machine: Scenario) -> None:
    """A status alone has an error in Google's shape; with a body it has that."""
    machine.faults.add("metadata.email", status=503)
    machine.faults.add("metadata.email", status=502, body="<html>bad gateway</html>")
    machine.faults.add("metadata.email", body="not what it should be")

    first, second, third = read(machine), read(machine), read(machine)

    assert (first[0], json.loads(first[1])["error"]["code"]) == (503, 503)
    assert (second, third) == ((502, b"<html>bad gateway</html>"), (200, b"not what it should be"))


def test_fields_may_be_missing_or_wrong(google: Google, issuer: Issuer) -> None:
    """A real answer without a field, or with another value of one."""
    google.cloud.faults.add("sts.token", without=("expires_in",))
    google.cloud.faults.add("sts.token", fields={"expires_in": 90, "token_type": "bearer"})

    without, changed = (google.exchange(issuer.token()).document for _ in range(2))

    assert "expires_in" not in without
    assert google.whoami(without["access_token"])["principal"].endswith("/user-1")
    assert (changed["expires_in"], changed["token_type"]) == (90, "bearer")


@pytest.mark.parametrize("entry", sorted({*STS, *API}))
def test_any_refusal_can_be_had(google: Google, issuer: Issuer, entry: str) -> None:
    """Every refusal of the catalogue can be asked for by its id, also those that no request causes."""
    google.cloud.faults.add("sts.token", refusal=entry)

    reply = google.exchange(issuer.token())

    expected = (429 if entry == "E13" else 400) if entry in STS else API[entry][0]
    assert (reply.status, google.cloud.journal.entries()[-1].refusal) == (expected, entry)
    assert google.exchange(issuer.token()).status == 200


def test_throttling_says_so(google: Google, issuer: Issuer) -> None:
    """E13 as a fault has the text of the real quota."""
    google.cloud.faults.add("sts.token", refusal="E13")

    reply = google.exchange(issuer.token())

    assert reply.document["error"] == "quota_exceeded"
    assert reply.document["error_description"].startswith("The request was throttled due to rate limit")


def test_faults_are_met_in_order_and_accounted_for(google: Google, issuer: Issuer) -> None:
    """Each is met as often as said, by its operation alone, and what was met and is pending can be told."""
    google.cloud.faults.add("sts.token", status=503, times=2)
    google.cloud.faults.add("sts.token", status=500)
    google.cloud.faults.add("*", status=429)
    assert google.cloud.faults.pending == {"sts.token": 3, "*": 1}

    statuses = [google.exchange(issuer.token()).status for _ in range(4)]
    told = google.ask("GET", "/emulator/faults").document

    assert statuses == [503, 503, 500, 429]
    assert google.exchange(issuer.token()).status == 200
    assert told["pending"] == {}
    assert [entry["status"] for entry in told["met"]] == [503, 503, 500, 429]


def test_faults_come_over_http_too(google: Google, issuer: Issuer) -> None:
    """What is posted is pending, and forgotten on request; asking for it meets none itself."""
    body = {"operation": "*", "status": 503, "times": 3}

    assert google.ask("POST", "/emulator/faults", document=body).document["pending"] == {"*": 3}
    assert google.exchange(issuer.token()).status == 503
    assert google.ask("DELETE", "/emulator/faults").status == 200
    assert google.exchange(issuer.token()).status == 200


@pytest.mark.parametrize(
    "what",
    [
        {"statsu": 503}, {"status": 99}, {"status": "503"}, {"status": True}, {"refusal": "E99"}, {"refusal": 5},
        {"body": 5}, {"without": "expires_in"}, {"without": [5]}, {"fields": "x"}, {"fields": []}, {"delay": "1"},
        {"delay": -1}, {"delay": 1e9}, {"drop": "yes"}, {"truncate": 1}, {"drip": None}, {"clock_skew": 1e300},
        {"times": 0}, {"times": 1.5}, {"times": True},
    ],
)  # fmt: skip
def test_refuses_faults_that_cannot_be(google: Google, what: dict[str, Any]) -> None:
    """An attribute that there is not, or a value that it cannot have, is refused where it is asked for."""
    with pytest.raises(EmulatorError):
        google.cloud.faults.add("sts.token", **what)
    assert google.ask("POST", "/emulator/faults", document={"operation": "sts.token", **what}).status == 400
    assert google.cloud.faults.pending == {}


def test_refuses_operations_that_there_are_not(google: Google) -> None:
    """A misspelt operation would be met by nothing, so it is refused."""
    with pytest.raises(EmulatorError, match="is no operation"):
        google.cloud.faults.add("sts.tokens", status=503)


def test_the_guide_lists_the_operations() -> None:
    """Every operation that can meet a fault is in the guide, and no other."""
    with open("docs/emulator.md", encoding="utf-8") as guide:  # noqa: PTH123 - one line
        text = guide.read().partition("\nOperations: ")[2].partition("\n## ")[0]

    listed = {name.strip("`,. \n") for name in text.split()}
    assert listed == {name for name in OPERATIONS if not name.startswith("emulator.")}
