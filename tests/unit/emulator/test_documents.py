from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.errors import TITLES
from refresher.emulator.state import SERVICES as STATE_SERVICES

if TYPE_CHECKING:
    from refresher.emulator.http import Reply
    from tests.unit.emulator.conftest import Google, Issuer

PERMISSION = "iam.googleapis.com/workloadIdentityPoolProviders.update"
DENY = "/v2/policies/cloudresourcemanager.googleapis.com%2Fprojects%2Fmy-project/denypolicies"
ORG = "/v2/projects/my-project/policies"
METRICS = "/v2/projects/my-project/metrics"
ALERTS = "/v3/projects/my-project/alertPolicies"
SERVICES = "/v1/projects/my-project/services"


def admin(google: Google, method: str, path: str, document: Any = None, **query: str) -> Reply:  # noqa: ANN401 - JSON
    """Send a request as the administrator."""
    return google.ask(method, path, document=document, query=query, token="anything")


def test_deny_policies_are_stored(google: Google) -> None:
    """A deny policy is created, read, replaced with its etag, listed and removed below its encoded parent."""
    rules = [{"denyRule": {"deniedPrincipals": ["principalSet://goog/public:all"], "deniedPermissions": [PERMISSION]}}]

    operation = admin(google, "POST", DENY, {"displayName": "D", "rules": rules}, policyId="no-keys").document["name"]

    assert admin(google, "GET", f"/v2/{operation}").document == {"name": operation, "done": True, "response": {}}
    shown = admin(google, "GET", f"{DENY}/no-keys").document
    assert (shown["rules"], shown["name"].partition("/denypolicies/")[2]) == (rules, "no-keys")
    assert admin(google, "POST", DENY, {}, policyId="no-keys").status == 409
    assert admin(google, "PUT", f"{DENY}/no-keys", {"rules": [], "etag": shown["etag"]}).status == 200
    assert admin(google, "PUT", f"{DENY}/no-keys", {"rules": [], "etag": shown["etag"]}).status == 409
    assert len(admin(google, "GET", DENY).document["policies"]) == 1
    assert admin(google, "DELETE", f"{DENY}/no-keys", etag=shown["etag"]).status == 409
    assert admin(google, "DELETE", f"{DENY}/no-keys").status == 200
    assert admin(google, "GET", f"{DENY}/no-keys").status == 404
    assert admin(google, "POST", DENY, {}).status == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", ORG.replace("my-project", "no-project"), None),
        ("POST", ORG.replace("my-project", "no-project"), {"name": "projects/no-project/policies/a.b"}),
        ("GET", DENY.replace("my-project", "no-project"), None),
        ("GET", METRICS.replace("my-project", "no-project"), None),
        ("GET", ALERTS.replace("my-project", "no-project"), None),
        ("POST", "/v2/entries:list", {"resourceNames": ["projects/no-project"]}),
    ],
)
def test_project_that_does_not_exist_is_refused(google: Google, method: str, path: str, body: Any) -> None:  # noqa: ANN401 - JSON
    """A project that does not exist is refused in the same way everywhere, also to the administrator."""
    assert admin(google, method, path, body).status == 403


@pytest.mark.parametrize("parent", ["projects/my-project", "projects/123456789012", "organizations/111", "folders/5"])
def test_constraints_with_an_effect_are_listed(google: Google, parent: str) -> None:
    """The list that gcloud reads before it sets a policy has them, and none has another constraint that replaces it."""
    listed = admin(google, "GET", f"/v2/{parent}/constraints").document["constraints"]

    known = parent.replace("123456789012", "my-project")
    assert {"name": f"{known}/constraints/iam.workloadIdentityPoolProviders"} in listed
    assert {tuple(entry) for entry in listed} == {("name",)}
    assert admin(google, "GET", "/v2/projects/no-project/constraints").status == 403


def test_organisation_policies_are_stored(google: Google) -> None:
    """An organisation policy keeps explicit false and null, and is found by id and by number of its project."""
    spec = {"inheritFromParent": False, "reset": False, "rules": [{"allowAll": None, "enforce": False}]}
    name = "projects/my-project/policies/iam.disableServiceAccountKeyCreation"

    made = admin(google, "POST", ORG, {"name": name, "spec": spec}).document

    by_number = admin(google, "GET", "/v2/projects/123456789012/policies/iam.disableServiceAccountKeyCreation").document
    assert made == by_number
    assert made["spec"]["rules"] == spec["rules"]
    assert made["spec"]["inheritFromParent"] is False
    changed = {"spec": {"rules": [{"enforce": True}], "etag": made["spec"]["etag"]}}
    assert admin(google, "PATCH", f"/v2/{name}", changed).document["spec"]["rules"] == [{"enforce": True}]
    assert admin(google, "PATCH", f"/v2/{name}", changed).status == 409
    assert len(admin(google, "GET", ORG).document["policies"]) == 1
    assert (admin(google, "DELETE", f"/v2/{name}").status, admin(google, "GET", f"/v2/{name}").status) == (200, 404)


@pytest.mark.parametrize("parent", ["folders/7", "organizations/9"])
def test_organisation_policies_have_several_kinds_of_parents(google: Google, parent: str) -> None:
    """Folders and organisations have policies, too; nothing else has."""
    body = {"name": f"{parent}/policies/a.b", "spec": {}}

    assert admin(google, "POST", f"/v2/{parent}/policies", body).status == 200
    assert admin(google, "GET", f"/v2/{parent}/policies/a.b").status == 200
    assert admin(google, "GET", f"/v2/sheets/{parent[-1]}/policies/a.b").status == 404


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ([{"values": {"allowedValues": ["https://workers.invalid"]}}], 200),
        ([{"values": {"allowedValues": ["https://other.invalid"]}}], 400),
        ([{"allowAll": True}], 200),
        ([{"denyAll": True}], 400),
        ([{"allowAll": True}, {"values": {"deniedValues": ["https://workers.invalid"]}}], 400),
    ],
)
def test_provider_needs_an_allowed_issuer(google: Google, rules: list[Any], status: int) -> None:
    """T1: a provider can only have an issuer that the organisation policy allows."""
    name = "projects/my-project/policies/iam.workloadIdentityPoolProviders"
    admin(google, "POST", ORG, {"name": name, "spec": {"rules": rules}})

    reply = admin(
        google,
        "POST",
        "/v1/projects/my-project/locations/global/workloadIdentityPools/workers/providers",
        {"attributeMapping": {"google.subject": "assertion.sub"}, "oidc": {"issuerUri": "https://workers.invalid"}},
        workloadIdentityPoolProviderId="another",
    )

    assert reply.status == status


def test_log_metrics_are_stored(google: Google) -> None:
    """A metric is created, read by its encoded name, replaced, listed and removed; its filter must be valid."""
    body = {"name": "wif/refused", "filter": 'protoPayload.serviceName="sts.googleapis.com" AND severity>=ERROR'}
    assert admin(google, "POST", METRICS, body).document["filter"] == body["filter"]

    path = f"{METRICS}/wif%2Frefused"
    assert admin(google, "GET", path).document["name"] == "wif/refused"
    assert admin(google, "PUT", path, {**body, "description": "D"}).document["description"] == "D"
    assert len(admin(google, "GET", METRICS).document["metrics"]) == 1
    assert admin(google, "POST", METRICS, body).status == 409
    assert admin(google, "POST", METRICS, {"name": "bad", "filter": "a=("}).status == 400
    assert (admin(google, "DELETE", path).document, admin(google, "GET", path).status) == ({}, 404)


def test_alert_policies_are_stored(google: Google) -> None:
    """An alert policy and its conditions get names; a mask limits a change."""
    made = admin(
        google, "POST", ALERTS, {"displayName": "A", "combiner": "OR", "conditions": [{"displayName": "C"}]}
    ).document

    name = made["name"]
    assert made["conditions"][0]["name"].startswith(f"{name}/conditions/")
    body = {"displayName": "B", "combiner": "AND"}
    changed = admin(google, "PATCH", f"/v3/{name}", body, updateMask="displayName").document
    assert (changed["displayName"], changed["combiner"]) == ("B", "OR")
    assert admin(google, "GET", ALERTS).document["totalSize"] == 1
    assert (admin(google, "DELETE", f"/v3/{name}").status, admin(google, "GET", f"/v3/{name}").status) == (200, 404)
    assert admin(google, "GET", "/v3/projects/my-project/groups").status == 404


def test_services_are_enabled_and_disabled(google: Google) -> None:
    """Services are enabled and disabled, one or several at once, and listed by state and in pages."""
    admin(google, "POST", f"{SERVICES}/run.googleapis.com:enable", {})
    admin(google, "POST", f"{SERVICES}:batchEnable", {"serviceIds": ["pubsub.googleapis.com", "a.googleapis.com"]})
    admin(google, "POST", f"{SERVICES}/sts.googleapis.com:disable", {})

    assert admin(google, "GET", f"{SERVICES}/run.googleapis.com").document["state"] == "ENABLED"
    names: list[str] = []
    page = ""
    while True:
        listed = admin(google, "GET", SERVICES, filter="state:ENABLED", pageSize="5", pageToken=page).document
        names += [service["config"]["name"] for service in listed["services"]]
        page = listed.get("nextPageToken", "")
        if not page:
            break
    assert {"run.googleapis.com", "pubsub.googleapis.com", "a.googleapis.com"} < set(names)
    assert len(names) == len(set(names)) == 13
    disabled = admin(google, "GET", SERVICES, filter="state:DISABLED").document["services"]
    assert [service["config"]["name"] for service in disabled] == ["sts.googleapis.com"]
    assert admin(google, "POST", f"{SERVICES}:batchEnable", {"serviceIds": []}).status == 400
    assert admin(google, "POST", f"{SERVICES}/sts:enable", {}).status == 404


def test_iam_credentials_refuses_when_the_api_is_disabled(google: Google, federated: str) -> None:
    """While the API is disabled in the account's project no tokens are issued, and the error shows the remedy."""
    admin(google, "POST", f"{SERVICES}/iamcredentials.googleapis.com:disable", {})

    reply = google.impersonate("task-alice@my-project.iam.gserviceaccount.com", federated)

    url = "https://console.developers.google.com/apis/api/iamcredentials.googleapis.com/overview?project=123456789012"
    message = (
        "IAM Service Account Credentials API has not been used in project 123456789012 before or it is disabled. "
        f"Enable it by visiting {url} then retry. If you enabled this API recently, wait a few minutes for the action "
        "to propagate to our systems and retry."
    )
    information, localized, guidance = reply.document["error"]["details"]
    assert (reply.status, reply.document["error"]["message"], localized["message"]) == (403, message, message)
    assert (information["reason"], information["domain"]) == ("SERVICE_DISABLED", "googleapis.com")
    assert information["metadata"] == {
        "service": "iamcredentials.googleapis.com",
        "serviceTitle": "IAM Service Account Credentials API",
        "consumer": "projects/123456789012",
        "containerInfo": "123456789012",
        "activationUrl": url,
    }
    assert guidance["links"][0]["url"] == url


def test_sts_refuses_when_the_api_is_disabled(google: Google, issuer: Issuer) -> None:
    """While the API is disabled in the pool's project no token is exchanged, and the error has its title."""
    admin(google, "POST", f"{SERVICES}/sts.googleapis.com:disable", {})

    refused = google.exchange(issuer.token())
    admin(google, "POST", f"{SERVICES}/sts.googleapis.com:enable", {})

    assert (refused.status, refused.document["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert refused.document["error"]["message"].startswith("Security Token Service API has not been used in project")
    assert google.exchange(issuer.token()).status == 200


def test_every_api_has_a_title() -> None:
    """Each API that a project can use has the title that errors show."""
    assert set(TITLES) == set(STATE_SERVICES)


def test_projects_are_shown(google: Google) -> None:
    """A project is found by id and number, in both versions of the API."""
    shown = admin(google, "GET", "/v1/projects/my-project").document

    assert shown == admin(google, "GET", "/v1/projects/123456789012").document
    assert (shown["projectId"], shown["projectNumber"], shown["lifecycleState"]) == (
        "my-project",
        "123456789012",
        "ACTIVE",
    )
    assert admin(google, "GET", "/v3/projects/my-project").document["name"] == "projects/123456789012"
    assert admin(google, "GET", "/v1/projects").document["projects"] == [shown]
    assert admin(google, "GET", "/v1/projects/nobodys").status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", DENY), ("GET", ORG), ("GET", METRICS), ("GET", ALERTS), ("GET", SERVICES),
        ("GET", "/v1/projects/my-project"),
        ("POST", "/v2/entries:list"), ("GET", "/v1/projects/my-project/roles"), ("GET", "/v1/operations/op1"),
        ("GET", "/v1/projects/my-project/serviceAccounts"),
    ],
)  # fmt: skip
def test_administration_needs_a_token(google: Google, method: str, path: str) -> None:
    """Without a token, or with an unknown one that looks like Google's, nothing is administered."""
    document = {"resourceNames": ["projects/my-project"]} if method == "POST" else None

    assert google.ask(method, path, document=document).status == 401
    assert google.ask(method, path, document=document, token="ya29.forged").status == 401


def test_services_of_cloud_run_have_policies(google: Google) -> None:
    """Any service has a policy, which is read as it was written; a write needs its etag."""
    path = "/v2/projects/my-project/locations/europe-west1/services/api"
    binding = {"role": "roles/run.invoker", "members": ["user:carol@example.com"]}

    written = admin(google, "POST", f"{path}:setIamPolicy", {"policy": {"bindings": [binding]}}).document

    assert written["bindings"] == [binding]
    assert admin(google, "GET", f"{path}:getIamPolicy").document == written
    stale = {"policy": {"bindings": [], "etag": "ACAB"}}
    assert admin(google, "POST", f"{path}:setIamPolicy", stale).status == 409
    assert admin(google, "GET", f"{path.replace('my-project', 'absent')}:getIamPolicy").status == 403
