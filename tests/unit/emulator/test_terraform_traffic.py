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
# differ from recording to recording, or were made up by what was recorded
VOLATILE = {"etag", "uniqueId", "oauth2ClientId", "createTime", "version"}


@pytest.fixture
def project(google: Google) -> Google:
    """Give a cloud with the project of the recording, in which hardly anything is switched on."""
    google.cloud.state.pools.clear()
    google.cloud.state.projects = {PROJECT: Project(number="123456789012", services={"serviceusage.googleapis.com"})}
    return google


def renamed(value: Any, names: dict[str, str]) -> Any:  # noqa: ANN401 - JSON
    """Give a recorded value with our names of operations and our etags."""
    pattern = r'(?<=[/"])(op\d+|[A-Za-z]{3,4}=?)(?=")'
    return json.loads(re.sub(pattern, lambda found: names.get(found[0], found[0]), json.dumps(value)))


def told(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Give a document without what differs from recording to recording."""
    if isinstance(value, dict):
        return {
            name: json.loads(inner) if name == "jwksJson" else told(inner)
            for name, inner in value.items()
            if name not in VOLATILE
        }
    return [told(inner) for inner in value] if isinstance(value, list) else value


def learn(recorded: Any, ours: Any, names: dict[str, str]) -> None:  # noqa: ANN401 - JSON
    """Note what an operation or etag of the recording is called here."""
    if not isinstance(recorded, dict) or not isinstance(ours, dict):
        return
    if "etag" in recorded:
        names[recorded["etag"]] = ours["etag"]
    if "operations/op" in recorded.get("name", ""):
        names[recorded["name"].rpartition("/")[2]] = ours["name"].rpartition("/")[2]


def test_answers_the_real_provider_as_recorded(project: Google) -> None:
    """Every request of an apply by Terraform's provider 7.45 gets the status and the document that satisfied it."""
    names: dict[str, str] = {}
    for line in TRAFFIC.read_text(encoding="utf-8").splitlines():
        recorded = json.loads(line)

        reply = project.ask(
            recorded["method"],
            renamed(recorded["path"], names),
            query=recorded["query"],
            document=renamed(recorded.get("body"), names),
            token="anything",
        )

        assert reply.status == recorded["status"], recorded["n"]
        learn(recorded["response"], reply.document, names)
        expected = told(renamed(recorded["response"], names))
        if reply.document.get("done"):  # what an operation led to is read anew anyway
            expected.pop("response", None)
            reply.document.pop("response")
        assert told(reply.document) == expected, recorded["n"]


def test_the_recorded_apply_can_be_undone(project: Google) -> None:
    """What the provider sends to destroy the same resources leaves nothing that can be used, and reads say so."""
    test_answers_the_real_provider_as_recorded(project)

    for method, path in (("DELETE", f"{POOL}/providers/scheduler"), ("DELETE", POOL), ("DELETE", ACCOUNT)):
        assert project.ask(method, path, query={"alt": "json"}, token="anything").status == 200

    assert project.ask("GET", ACCOUNT, token="anything").status == 404
    assert project.ask("GET", POOL, token="anything").document["state"] == "DELETED"
    again = project.ask(
        "POST", POOL.removesuffix("/agents"), query={"workloadIdentityPoolId": "agents"}, document={}, token="anything"
    )
    assert (again.status, again.document["error"]["message"]) == (409, "Requested entity already exists")


def test_masked_updates_of_the_provider(project: Google) -> None:
    """A PATCH changes what its mask names and nothing else: the oidc block by its leaves, the absent being cleared."""
    test_answers_the_real_provider_as_recorded(project)
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
