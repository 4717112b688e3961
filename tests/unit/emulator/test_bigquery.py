from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulator.conftest import ALICE, Google

PROJECT = "/bigquery/v2/projects/my-project"


@pytest.fixture
def alice(google: Google) -> str:
    """Return a token of alice, who may run queries."""
    google.cloud.state.projects["my-project"].policy.allow("roles/bigquery.user", f"serviceAccount:{ALICE}")
    token: str = google.ask("POST", "/emulator/token", document={"member": f"serviceAccount:{ALICE}"}).document[
        "access_token"
    ]
    return token


def read_row(document: dict[str, Any]) -> dict[str, str]:
    """Return the only row of an answer by its columns."""
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
def test_query_shows_the_caller(google: Google, alice: str, sql: str, row: dict[str, str]) -> None:
    """Literals and the session's user are answered, at once and through a job."""
    direct = google.ask("POST", f"{PROJECT}/queries", document={"query": sql}, token=alice).document
    configuration = {"query": {"query": sql, "useLegacySql": False}}
    job = google.ask("POST", f"{PROJECT}/jobs", document={"configuration": configuration}, token=alice).document
    job_id = job["jobReference"]["jobId"]
    results = google.ask("GET", f"{PROJECT}/queries/{job_id}", token=alice).document

    assert read_row(direct) == read_row(results) == row
    assert (
        job["status"]
        == google.ask("GET", f"{PROJECT}/jobs/{job_id}", token=alice).document["status"]
        == {"state": "DONE"}
    )


@pytest.mark.parametrize("sql", ["", "SELECT", "SELECT * FROM t", "DELETE", "SELECT 1 +", "SELECT 'a", "x" * 20_000])
def test_unsupported_query_is_refused(google: Google, alice: str, sql: str) -> None:
    """Any other query is refused, so that no answer is wrong."""
    reply = google.ask("POST", f"{PROJECT}/queries", document={"query": sql}, token=alice)

    assert (reply.status, reply.document["error"]["errors"][0]["reason"]) == (400, "invalidQuery")


def test_query_needs_the_permission(google: Google, alice: str, federated: str) -> None:
    """Without the permission BigQuery's own error is returned, and the same for a project that does not exist."""
    refused = google.ask("POST", f"{PROJECT}/queries", document={"query": "SELECT 1"}, token=federated)
    nowhere = google.ask("GET", "/bigquery/v2/projects/absent/datasets", token=alice)

    assert (refused.status, refused.document["error"]["errors"][0]["reason"]) == (403, "accessDenied")
    assert "bigquery.jobs.create permission in project my-project" in refused.document["error"]["message"]
    assert nowhere.status == 403
    assert google.ask("GET", f"{PROJECT}/datasets").status == 401


def test_datasets_are_created_and_listed(google: Google, alice: str) -> None:
    """A new dataset is listed; an id consists of letters, digits and underscores."""
    for name, status in (("d_1", 200), ("d-1", 400)):
        body = {"datasetReference": {"datasetId": name}}
        assert google.ask("POST", f"{PROJECT}/datasets", document=body, token=alice).status == status

    (listed,) = google.ask("GET", f"{PROJECT}/datasets", token=alice).document["datasets"]
    assert (listed["id"], listed["datasetReference"]["datasetId"]) == ("my-project:d_1", "d_1")


@pytest.mark.parametrize("job", ["x", "job_!!", "job_bnVsbA", "job_WzFd"])
def test_unknown_job_is_not_found(google: Google, alice: str, job: str) -> None:
    """A job's name contains its result; any other name is not found."""
    assert google.ask("GET", f"{PROJECT}/queries/{job}", token=alice).status == 404


def test_discovery_document_has_this_origin(google: Google) -> None:
    """`bq` finds its calls in a discovery document that points back to the emulator."""
    document = google.ask("GET", "/discovery/v1/apis/bigquery/v2/rest", headers={"host": "127.0.0.1:7"}).document

    assert document["rootUrl"] == "http://127.0.0.1:7/"
    assert document["resources"]["jobs"]["methods"]["query"]["path"] == "projects/{projectId}/queries"
