from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulator.conftest import ALICE, Google

PROJECT = "/bigquery/v2/projects/my-project"


@pytest.fixture
def alice(google: Google) -> str:
    """Give a token of alice, who may run queries."""
    google.cloud.state.projects["my-project"].policy.allow("roles/bigquery.user", f"serviceAccount:{ALICE}")
    token: str = google.ask("POST", "/emulator/token", document={"member": f"serviceAccount:{ALICE}"}).document[
        "access_token"
    ]
    return token


def row_of(document: dict[str, Any]) -> dict[str, str]:
    """Give the one row of an answer by its columns."""
    cells = [cell["v"] for cell in document["rows"][0]["f"]]
    return dict(zip((field["name"] for field in document["schema"]["fields"]), cells, strict=True))


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("SELECT SESSION_USER()", {"f0_": ALICE}),
        ("select session_user() as who, 1 AS n, 'x' s, TRUE;", {"who": ALICE, "n": "1", "s": "x", "f3_": "true"}),
        ('-- a comment\nSELECT "a,b" AS `t`', {"t": "a,b"}),
    ],
)
def test_a_query_tells_who_asks(google: Google, alice: str, sql: str, row: dict[str, str]) -> None:
    """Literals and the session's user are answered, at once and through a job."""
    direct = google.ask("POST", f"{PROJECT}/queries", document={"query": sql}, token=alice).document
    configuration = {"query": {"query": sql, "useLegacySql": False}}
    job = google.ask("POST", f"{PROJECT}/jobs", document={"configuration": configuration}, token=alice).document
    job_id = job["jobReference"]["jobId"]
    results = google.ask("GET", f"{PROJECT}/queries/{job_id}", token=alice).document

    assert row_of(direct) == row_of(results) == row
    assert (
        job["status"]
        == google.ask("GET", f"{PROJECT}/jobs/{job_id}", token=alice).document["status"]
        == {"state": "DONE"}
    )


@pytest.mark.parametrize("sql", ["", "SELECT", "SELECT * FROM t", "DELETE", "SELECT 1 +", "SELECT 'a", "x" * 20_000])
def test_says_what_it_cannot_answer(google: Google, alice: str, sql: str) -> None:
    """Any other query is refused, rather than answered wrongly."""
    reply = google.ask("POST", f"{PROJECT}/queries", document={"query": sql}, token=alice)

    assert (reply.status, reply.document["error"]["errors"][0]["reason"]) == (400, "invalidQuery")


def test_needs_the_permission(google: Google, alice: str, federated: str) -> None:
    """Who may not is refused in BigQuery's words, and so is a project that is not there."""
    refused = google.ask("POST", f"{PROJECT}/queries", document={"query": "SELECT 1"}, token=federated)
    nowhere = google.ask("GET", "/bigquery/v2/projects/absent/datasets", token=alice)

    assert (refused.status, refused.document["error"]["errors"][0]["reason"]) == (403, "accessDenied")
    assert "bigquery.jobs.create permission in project my-project" in refused.document["error"]["message"]
    assert nowhere.status == 403
    assert google.ask("GET", f"{PROJECT}/datasets").status == 401


def test_datasets_are_made_and_listed(google: Google, alice: str) -> None:
    """A dataset that was made is listed; an id is of letters, digits and underscores."""
    for name, status in (("d_1", 200), ("d-1", 400)):
        body = {"datasetReference": {"datasetId": name}}
        assert google.ask("POST", f"{PROJECT}/datasets", document=body, token=alice).status == status

    (listed,) = google.ask("GET", f"{PROJECT}/datasets", token=alice).document["datasets"]
    assert (listed["id"], listed["datasetReference"]["datasetId"]) == ("my-project:d_1", "d_1")


@pytest.mark.parametrize("job", ["x", "job_!!", "job_bnVsbA", "job_WzFd"])
def test_jobs_that_were_never_made_are_not_found(google: Google, alice: str, job: str) -> None:
    """A job describes itself; whatever else stands there is none."""
    assert google.ask("GET", f"{PROJECT}/queries/{job}", token=alice).status == 404


def test_describes_itself_where_it_is(google: Google) -> None:
    """`bq` finds the calls it makes in a discovery document that points back here."""
    document = google.ask("GET", "/discovery/v1/apis/bigquery/v2/rest", headers={"host": "127.0.0.1:7"}).document

    assert document["rootUrl"] == "http://127.0.0.1:7/"
    assert document["resources"]["jobs"]["methods"]["query"]["path"] == "projects/{projectId}/queries"
