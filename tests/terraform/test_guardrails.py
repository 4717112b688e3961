"""The guard rails with the emulator: each is optional, and each is visible in the emulator's state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from refresher.emulator.state import DEFAULT_NUMBER
from tests.program import PATIENCE
from tests.terraform.test_examples import apply_example
from tests.terraform.tool import SECONDS

if TYPE_CHECKING:
    from tests.conftest import Act
    from tests.terraform.conftest import Site
    from tests.terraform.tool import Terraform

pytestmark = pytest.mark.timeout(SECONDS)

PRINCIPAL = (
    f"principal://iam.googleapis.com/projects/{DEFAULT_NUMBER}/locations/global/workloadIdentityPools/workers/subject/"
    "user-1042"
)
KINDS = ("dryRunSpec", "spec")
ADMIN_READ = [{"logType": "ADMIN_READ"}]


def rails(site: Site, **inputs: Any) -> Terraform:  # noqa: ANN401 - any value of Terraform's
    """Apply the module with these inputs, and check that a second plan is empty."""
    place = site.modules / "examples" / "rails"
    place.mkdir(exist_ok=True)
    call = {"source": "../../modules/guardrails", "project_ids": ["my-project", "data-project"], **inputs}
    (place / "variables.tf").write_text("")
    (place / "main.tf.json").write_text(
        json.dumps({"module": {"rails": call}, "output": {"rails": {"value": "${module.rails}"}}})
    )
    terraform = site.root("rails")
    terraform.apply()
    assert terraform.plan() == {}
    return terraform


def test_audit_logs_show_impersonation(site: Site) -> None:
    """By default, token events are logged in each project and nothing else is created; other configurations stay."""
    site.google.state.add_project("data-project", "222222222222")
    other = {"service": "storage.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}]}
    site.google.state.projects["my-project"].policy.audit_configs.append(other)
    terraform = rails(site)

    for project in ("my-project", "data-project"):
        configs = site.google.state.projects[project].policy.audit_configs
        told = {config["service"]: config["auditLogConfigs"] for config in configs if config is not other}
        assert told.pop("storage.googleapis.com", None) in (None, other["auditLogConfigs"])
        assert told == {"iam.googleapis.com": ADMIN_READ, "sts.googleapis.com": ADMIN_READ}
    assert not any(site.google.state.documents.values())

    terraform.destroy()

    assert site.google.state.projects["my-project"].policy.audit_configs == [other]


def test_queries_find_who_acted_as_whom(site: Site, act: Act) -> None:
    """With the logs, the outputs' queries find impersonation, and the alert's filter finds unexpected subjects."""
    federation = site.root("many-users", users={"alice": {"subject": "user-1042"}, "eve": {"subject": "user-1044"}})
    outputs = apply_example(site, federation, "alice", "eve")
    site.google.state.add_project("data-project", "222222222222")
    watching = rails(site, expected_principals=[outputs["principals"]["alice"]]).output()["rails"]
    site.worker.once()
    act(site.worker.directory("alice"), site.google)
    queries = outputs["audit_queries"]["alice"]

    assert [entry["serviceName"] for entry in query_log(site, queries["exchanges"])] == ["sts.googleapis.com"]
    assert [entry["methodName"] for entry in query_log(site, queries["by_subject"])] == ["GenerateAccessToken"]
    assert [entry["methodName"] for entry in query_log(site, queries["became_account"])] == ["GenerateAccessToken"]
    assert query_log(site, watching["unexpected_filter"]) == []

    act(site.worker.directory("eve"), site.google)

    strangers = [entry["authenticationInfo"] for entry in query_log(site, watching["unexpected_filter"])]
    assert strangers == [{"principalSubject": outputs["principals"]["eve"]}]


def test_other_rails_are_created_on_request(site: Site) -> None:
    """Metric, alert, organisation policies and deny policy are created on request, changed in place, and removed."""
    site.google.state.add_project("data-project", "222222222222")
    asked: dict[str, Any] = {
        "expected_principals": [PRINCIPAL],
        "notification_channels": ["projects/my-project/notificationChannels/1"],
        "org_policies": {"parent": "projects/my-project", "allowed_issuers": ["https://workers.invalid"]},
        "deny_policy": {
            "attachment_point": "cloudresourcemanager.googleapis.com/projects/my-project",
            "exception_principals": ["principal://goog/subject/ann@example.com"],
        },
    }
    terraform = rails(site, **asked)
    documents = site.google.state.documents
    shown = json.dumps(documents)
    policies = documents["orgPolicies"]

    assert shown.count(f'NOT protoPayload.authenticationInfo.principalSubject=(\\"{PRINCIPAL}\\")') == 4
    assert policies["projects/my-project/policies/iam.workloadIdentityPoolProviders"]["spec"]["rules"][0]["values"] == {
        "allowedValues": ["https://workers.invalid"]
    }
    assert policies["projects/my-project/policies/iam.disableServiceAccountKeyCreation"]["spec"]["rules"][0]["enforce"]
    assert "iam.googleapis.com/workloadIdentityPoolProviders.update" in shown

    asked["org_policies"]["allowed_issuers"].append("https://other.invalid")
    asked["deny_policy"]["exception_principals"].append("principalSet://goog/group/admins@example.com")
    rails(site, **asked)

    assert "https://other.invalid" in json.dumps(documents)
    assert "admins@example.com" in json.dumps(documents)

    terraform.destroy()

    assert not any(documents.values())


def test_trial_of_organisation_policies(site: Site) -> None:
    """Policies that are only tried become enforced, and the other way round, with nothing of the former kind left."""
    site.google.state.add_project("data-project", "222222222222")
    for dry_run, (present, absent) in ((True, KINDS), (False, KINDS[::-1]), (True, KINDS)):
        rails(site, org_policies={"parent": "projects/my-project", "dry_run": dry_run})

        policies = site.google.state.documents["orgPolicies"]
        assert [name for name, policy in policies.items() if present not in policy or absent in policy] == []


def query_log(site: Site, query: str) -> list[dict[str, Any]]:
    """Return the audit entries of the project that a query finds."""
    request = Request(  # noqa: S310 - the emulator's own origin
        f"{site.google.http}/v2/entries:list",
        data=json.dumps({"resourceNames": ["projects/my-project"], "filter": query}).encode(),
        headers={"Authorization": "Bearer anything", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310 - the emulator's own origin
        return [entry["protoPayload"] for entry in json.load(reply).get("entries", [])]
