from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.state import Project

if TYPE_CHECKING:
    from tests.unit.emulator.conftest import Google

TRAFFIC = Path(__file__).with_name("terraform-traffic.jsonl")
PROJECT = "fed-test-1"
ACCOUNT = f"/v1/projects/{PROJECT}/serviceAccounts/task-user-a@{PROJECT}.iam.gserviceaccount.com"
POOL = f"/v1/projects/{PROJECT}/locations/global/workloadIdentityPools/agents"
# these differ from recording to recording, or the recorder invented them
VOLATILE = {"etag", "uniqueId", "oauth2ClientId", "createTime", "version"}


@pytest.fixture
def project(google: Google) -> Google:
    """Return a cloud with the project of the recording, in which almost no API is enabled."""
    google.cloud.state.pools.clear()
    google.cloud.state.projects = {PROJECT: Project(number="123456789012", services={"serviceusage.googleapis.com"})}
    return google


def rename(value: Any, names: dict[str, str]) -> Any:  # noqa: ANN401 - JSON
    """Return a recorded value with the names of our operations and our etags."""
    pattern = r'(?<=[/"])(op\d+|[A-Za-z]{3,4}=?)(?=")'
    return json.loads(re.sub(pattern, lambda found: names.get(found[0], found[0]), json.dumps(value)))


def drop_varying(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a document without what differs from recording to recording."""
    if isinstance(value, dict):
        return {
            name: json.loads(inner) if name == "jwksJson" else drop_varying(inner)
            for name, inner in value.items()
            if name not in VOLATILE
        }
    return [drop_varying(inner) for inner in value] if isinstance(value, list) else value


def learn(recorded: Any, ours: Any, names: dict[str, str]) -> None:  # noqa: ANN401 - JSON
    """Note the present name of an operation or etag of the recording."""
    if not isinstance(recorded, dict) or not isinstance(ours, dict):
        return
    if "etag" in recorded:
        names[recorded["etag"]] = ours["etag"]
    if "operations/op" in recorded.get("name", ""):
        names[recorded["name"].rpartition("/")[2]] = ours["name"].rpartition("/")[2]


def test_provider_is_answered_as_recorded(project: Google) -> None:
    """Every request of an apply by Terraform's provider 7.45 gets the status and document that satisfied it."""
    names: dict[str, str] = {}
    for line in TRAFFIC.read_text(encoding="utf-8").splitlines():
        recorded = json.loads(line)

        reply = project.ask(
            recorded["method"],
            rename(recorded["path"], names),
            query=recorded["query"],
            document=rename(recorded.get("body"), names),
            token="anything",
        )

        assert reply.status == recorded["status"], recorded["n"]
        learn(recorded["response"], reply.document, names)
        expected = drop_varying(rename(recorded["response"], names))
        if reply.document.get("done"):  # the provider reads the result of an operation again in any case
            expected.pop("response", None)
            reply.document.pop("response")
        assert drop_varying(reply.document) == expected, recorded["n"]


def test_recorded_apply_can_be_undone(project: Google) -> None:
    """The provider's requests to destroy the same resources leave nothing usable, and reads show that."""
    test_provider_is_answered_as_recorded(project)

    for method, path in (("DELETE", f"{POOL}/providers/scheduler"), ("DELETE", POOL), ("DELETE", ACCOUNT)):
        assert project.ask(method, path, query={"alt": "json"}, token="anything").status == 200

    assert project.ask("GET", ACCOUNT, token="anything").status == 404
    assert project.ask("GET", POOL, token="anything").document["state"] == "DELETED"
    again = project.ask(
        "POST", POOL.removesuffix("/agents"), query={"workloadIdentityPoolId": "agents"}, document={}, token="anything"
    )
    assert (again.status, again.document["error"]["message"]) == (409, "Requested entity already exists")


def test_masked_updates_of_the_provider(project: Google) -> None:
    """A PATCH changes the fields of its mask only: the oidc block field by field, absent fields are cleared."""
    test_provider_is_answered_as_recorded(project)
    oidc = {"issuerUri": "https://issuer.example.com", "allowedAudiences": ["a"]}
    mask = "displayName,oidc.allowed_audiences,oidc.issuer_uri,oidc.jwks_json"

    project.ask(
        "PATCH",
        f"{POOL}/providers/scheduler",
        query={"updateMask": mask},
        document={"displayName": "new", "description": "not masked", "oidc": oidc},
        token="anything",
    )

    shown = project.ask("GET", f"{POOL}/providers/scheduler", token="anything").document
    assert (shown["oidc"], shown["displayName"], "description" in shown) == (oidc, "new", False)
    assert shown["attributeCondition"] == "assertion.iss == 'https://issuer.example.com'"
