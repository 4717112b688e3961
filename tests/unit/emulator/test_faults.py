from __future__ import annotations

import json
import re
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from refresher.emulator.errors import API, OAUTH, STS
from refresher.emulator.routes import OPERATIONS
from refresher.errors import EmulatorError
from tests.unit.emulator.conftest import ALICE, Google, Issuer

if TYPE_CHECKING:
    from refresher.emulator.testing import Scenario

pytestmark = pytest.mark.slow  # starts the emulator
EMAIL = "/computeMetadata/v1/instance/service-accounts/default/email"


@pytest.fixture
def machine(google_emulator: Scenario) -> Scenario:
    """Return a running emulator with a machine, whose e-mail the tests ask for."""
    google_emulator.add_service_account(ALICE)
    google_emulator.state.metadata_account = ALICE
    return google_emulator


def ask(google: Scenario) -> HTTPResponse:
    """Ask for the machine's e-mail."""
    connection = HTTPConnection(urlsplit(google.http).netloc, timeout=20)
    connection.request("GET", EMAIL, headers={"Metadata-Flavor": "Google", "Connection": "close"})
    return connection.getresponse()


def read(google: Scenario) -> tuple[int, bytes]:
    """Ask, and return status and body."""
    with ask(google) as answer:
        return answer.status, answer.read()


def test_fault_drops_a_connection(machine: Scenario) -> None:
    """One request gets no answer, and the next one is answered."""
    machine.faults.add("metadata.email", drop=True)

    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        ask(machine)

    assert read(machine) == (200, ALICE.encode())


def test_fault_truncates_a_body(machine: Scenario) -> None:
    """Half of the body arrives, though its whole length is announced."""
    machine.faults.add("metadata.email", truncate=True)

    with ask(machine) as answer, pytest.raises((IncompleteRead, HTTPException, ConnectionError)):
        answer.read()

    assert read(machine) == (200, ALICE.encode())


def test_fault_drips_a_body(machine: Scenario) -> None:
    """The body arrives byte by byte, completely, and later than usual."""
    machine.faults.add("metadata.email", drip=0.005)
    begin = time.monotonic()

    assert read(machine) == (200, ALICE.encode())
    assert time.monotonic() - begin >= 0.005 * (len(ALICE) - 1)


def test_fault_delays_an_answer(machine: Scenario) -> None:
    """The answer arrives after the delay, and other requests do not wait for it."""
    machine.faults.add("metadata.email", delay=0.3)
    begin = time.monotonic()
    connection = HTTPConnection(urlsplit(machine.http).netloc, timeout=20)
    connection.request("GET", EMAIL, headers={"Metadata-Flavor": "Google", "Connection": "close"})

    assert machine.whoami(machine.access_token(f"serviceAccount:{ALICE}"))["service_account"] == ALICE
    other = time.monotonic() - begin
    with connection.getresponse() as answer:
        assert answer.read() == ALICE.encode()
    assert time.monotonic() - begin >= 0.3 > other


def test_fault_makes_the_date_wrong(machine: Scenario) -> None:
    """The Date header is wrong by exactly the configured time."""
    machine.faults.add("metadata.email", clock_skew=-7200)

    with ask(machine) as answer:
        said = parsedate_to_datetime(answer.headers["Date"])
    off = (said - machine.clock.now()).total_seconds()

    assert -7210 < off < -7190


def test_fault_sets_the_status(machine: Scenario) -> None:
    """A status alone has an error in Google's shape; with a body, the answer is that body."""
    machine.faults.add("metadata.email", status=503)
    machine.faults.add("metadata.email", status=502, body="<html>bad gateway</html>")
    machine.faults.add("metadata.email", body="not what it should be")

    first, second, third = read(machine), read(machine), read(machine)

    assert (first[0], json.loads(first[1])["error"]["code"]) == (503, 503)
    assert (second, third) == ((502, b"<html>bad gateway</html>"), (200, b"not what it should be"))


def test_fault_changes_fields(google: Google, issuer: Issuer) -> None:
    """A real answer lacks a field, or has another value in it."""
    google.cloud.faults.add("sts.token", without=("expires_in",))
    google.cloud.faults.add("sts.token", fields={"expires_in": 90, "token_type": "bearer"})

    without, changed = (google.exchange(issuer.token()).document for _ in range(2))

    assert "expires_in" not in without
    assert google.whoami(without["access_token"])["principal"].endswith("/user-1")
    assert (changed["expires_in"], changed["token_type"]) == (90, "bearer")


@pytest.mark.parametrize("entry", sorted({*STS, *API, *OAUTH}))
def test_fault_sends_any_refusal(google: Google, issuer: Issuer, entry: str) -> None:
    """Every refusal of the catalogue can be sent by its id, including those that no request causes."""
    google.cloud.faults.add("sts.token", refusal=entry)

    reply = google.exchange(issuer.token())

    expected = (429 if entry == "E13" else 400) if entry in STS else (API | OAUTH)[entry][0]
    assert (reply.status, google.cloud.journal.entries()[-1].refusal) == (expected, entry)
    assert google.exchange(issuer.token()).status == 200


def test_fault_throttles_like_a_quota(google: Google, issuer: Issuer, federated: str) -> None:
    """E13 as a fault has the text of the real quota, and so has the throttling of another service."""
    google.cloud.faults.add("sts.token", refusal="E13")
    google.cloud.faults.add("iamcredentials.generateAccessToken", refusal="quota")

    exchange, generation = google.exchange(issuer.token()), google.impersonate(ALICE, federated)
    google.cloud.quotas.enabled = True
    google.cloud.quotas.limits = dict.fromkeys(google.cloud.quotas.limits, 0)

    assert exchange.document["error_description"] == (
        "The request was throttled due to rate limit: sts.googleapis.com/requests. Please retry after a few seconds."
    )
    assert exchange.document == google.exchange(issuer.token()).document
    assert generation.document == google.impersonate(ALICE, federated).document


@pytest.mark.parametrize("entry", sorted({*STS, *API, *OAUTH}))
@pytest.mark.parametrize("operation", ["sts.token", "iamcredentials.generateAccessToken", "iam.serviceAccounts.get"])
def test_scripted_refusal_has_no_gaps(
    google: Google, federated: str, issuer: Issuer, operation: str, entry: str
) -> None:
    """Each text of the catalogue contains what the request shows: its claims, account, permission and quota."""
    google.cloud.faults.add(operation, refusal=entry)

    if operation == "sts.token":
        shown = json.dumps(google.exchange(issuer.token(aud="https://mine", iat=1_700_000_000)).document)
    elif operation == "iam.serviceAccounts.get":
        path = f"/v1/projects/my-project/serviceAccounts/{ALICE}"
        shown = json.dumps(google.ask("GET", path, token="anything").document)
    else:
        shown = json.dumps(google.impersonate(ALICE, federated).document)

    assert not re.search(r"[?]\W|[{]\w+[}]", shown.replace("overview?", "").replace("project?", "")), shown
    expected = {"E5": "[https://mine]", "E7": "issued at 1700000000", "E6": "https://workers.invalid"}
    if operation == "sts.token" and entry in expected:
        assert expected[entry] in shown
    if operation != "sts.token" and entry == "I4":
        assert shown.count(ALICE) == 1
    if operation.startswith("iamcredentials.") and entry == "I1":
        assert shown.count("iam.serviceAccounts.getAccessToken") == 2


def test_scripted_refusal_has_the_details_of_a_real_one(google: Google, federated: str) -> None:
    """A fault with the id of a disabled API is the answer of a disabled API."""
    google.cloud.faults.add("iamcredentials.generateAccessToken", refusal="service_disabled")
    scripted = google.impersonate(ALICE, federated)
    google.cloud.state.projects["my-project"].services.discard("iamcredentials.googleapis.com")

    assert scripted.document == google.impersonate(ALICE, federated).document


def test_faults_are_applied_in_order_and_counted(google: Google, issuer: Issuer) -> None:
    """Each applies as often as configured, to its operation only; the pending and applied ones are shown."""
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


def test_faults_are_set_over_http(google: Google, issuer: Issuer) -> None:
    """A posted fault is pending, and can be deleted; a request for the faults meets none itself."""
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
def test_invalid_faults_are_refused(google: Google, what: dict[str, Any]) -> None:
    """An unknown attribute or an invalid value is refused at once."""
    with pytest.raises(EmulatorError):
        google.cloud.faults.add("sts.token", **what)
    assert google.ask("POST", "/emulator/faults", document={"operation": "sts.token", **what}).status == 400
    assert google.cloud.faults.pending == {}


def test_unknown_operation_is_refused(google: Google) -> None:
    """A fault for a misspelt operation would never apply, so it is refused."""
    with pytest.raises(EmulatorError, match="is not an operation"):
        google.cloud.faults.add("sts.tokens", status=503)


def test_guide_lists_the_operations() -> None:
    """The guide lists every operation that can have a fault, and no other."""
    with open("docs/emulator.md", encoding="utf-8") as guide:  # noqa: PTH123 - one line
        text = guide.read().partition("\nOperations: ")[2].partition("\n## ")[0]

    listed = {name.strip("`,. \n") for name in text.split()}
    assert listed == {name for name in OPERATIONS if not name.startswith("emulator.")}
