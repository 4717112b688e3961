from __future__ import annotations

import json

import pytest

from refresher.emulator.cloud import Cloud
from refresher.emulator.http import Call
from refresher.emulator.journal import CAPACITY, Entry, Journal, fingerprint
from refresher.emulator.routes import answer
from tests.unit.emulator.conftest import ALICE, NUMBER, Google, Issuer, principal


def test_root_shows_that_it_is_not_google(google: Google) -> None:
    """The root page shows what this server is."""
    assert "not Google" in (google.ask("GET", "/").text or "")


def test_whoami_shows_the_caller(google: Google, federated: str) -> None:
    """A federated token has its principal; an unknown one is refused."""
    assert google.whoami(federated)["principal"] == principal("user-1")
    assert google.ask("GET", "/emulator/whoami", token="ya29.unknown").status == 401


def test_journal_is_shown_and_deleted(google: Google, issuer: Issuer) -> None:
    """The journal can be read, filtered by path, and deleted."""
    google.exchange(issuer.token())
    google.ask("GET", "/v1/nothing")

    everything = google.ask("GET", "/emulator/journal").document
    narrowed = google.ask("GET", "/emulator/journal", query={"path": "/v1/token"}).document
    google.ask("DELETE", "/emulator/journal")

    assert [entry["path"] for entry in everything[:2]] == ["/v1/token", "/v1/nothing"]
    assert [entry["path"] for entry in narrowed] == ["/v1/token"]
    assert google.ask("GET", "/emulator/journal", query={"path": "/v1/"}).document == []


def test_journal_is_bounded() -> None:
    """Of any number of requests only the last ones are kept."""
    journal = Journal()

    for number in range(CAPACITY + 5):
        journal.add(Entry(time=0.0, method="GET", path=f"/{number}"))

    assert len(journal.entries()) == CAPACITY
    assert journal.entries()[0].path == "/5"


def test_fingerprint_is_stable() -> None:
    """A fingerprint is eight hex digits, the same for the same token."""
    assert fingerprint("a") == fingerprint("a") != fingerprint("b")
    assert len(fingerprint("a")) == 8


def test_seed_creates_resources(google: Google) -> None:
    """The resources of a seed exist afterwards."""
    seed = {"service_accounts": {ALICE: {"roles/iam.workloadIdentityUser": [principal("user-9")]}}}

    assert google.ask("POST", "/emulator/seed", document=seed).status == 200
    assert ALICE in google.cloud.state.service_accounts


@pytest.mark.parametrize("seed", [{"pool": []}, {"pools": [{}]}, {"pools": 7}, {"service_accounts": []}])
def test_invalid_seed_is_refused(google: Google, seed: dict[str, object]) -> None:
    """A seed is applied completely or not at all, and the answer shows the mistake."""
    before = google.ask("GET", "/emulator/journal").status

    reply = google.ask("POST", "/emulator/seed", document=seed)

    assert (before, reply.status) == (200, 400)
    assert "seed" in json.dumps(reply.document)


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'"text"', b"9" * 10_000])
def test_body_that_is_not_an_object_is_refused(google: Google, federated: str, body: bytes) -> None:
    """A body that is not a JSON object gets an error in Google's shape."""
    reply = google.ask(
        "POST", f"/v1/projects/-/serviceAccounts/{ALICE}:generateAccessToken", body=body, token=federated
    )

    assert reply.document["error"]["status"] == "INVALID_ARGUMENT"


def test_unknown_path_is_not_found(google: Google) -> None:
    """An unknown path is a 404 in Google's shape."""
    reply = google.ask("GET", "/v1/nothing")

    assert (reply.status, reply.document["error"]["status"]) == (404, "NOT_FOUND")


def test_two_clouds_share_nothing(google: Google, federated: str) -> None:
    """Resources and tokens of one cloud are unknown in another."""
    other = Cloud()

    reply = answer(other, Call(method="GET", path="/emulator/whoami", headers={"authorization": f"Bearer {federated}"}))

    assert reply.status == 401
    assert not other.state.service_accounts
    assert google.cloud.state.service_accounts


def test_projects_are_described(google: Google, federated: str) -> None:
    """Clients can find a project's id by its number, and its number by its id."""
    google.cloud.state.projects["my-project"].policy.allow("roles/browser", principal("user-1"))

    by_number, by_id = (google.ask("GET", f"/v1/projects/{name}", token=federated) for name in (NUMBER, "my-project"))

    assert by_number.document["projectId"] == "my-project"
    assert by_id.document["projectNumber"] == NUMBER
    assert google.ask("GET", f"/v3/projects/{NUMBER}", token=federated).document["projectId"] == "my-project"
    assert google.ask("GET", f"/v1/projects/{NUMBER}").status == 401


@pytest.mark.parametrize("version", ["v1", "v3"])
@pytest.mark.parametrize("project", [NUMBER, "my-project", "999999999999", "absent"])
def test_projects_are_only_described_with_the_permission(
    google: Google, federated: str, version: str, project: str
) -> None:
    """T9: without the permission a caller does not learn whether a project exists."""
    reply = google.ask("GET", f"/{version}/projects/{project}", token=federated)

    assert (reply.status, reply.document["error"]["message"]) == (
        403,
        (
            "Permission 'resourcemanager.projects.get' denied on resource "
            f"'//cloudresourcemanager.googleapis.com/projects/{project}' (or it may not exist)."
        ),
    )
