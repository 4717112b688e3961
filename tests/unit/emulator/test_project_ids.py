"""Project ids with a domain or a partition, `example.com:legacy`: in every path, and in the e-mails of accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from refresher.emulator.account_emails import compose_email, read_project
from refresher.emulator.crypto_keys import CryptoKey
from refresher.emulator.seed import apply_seed
from refresher.emulator.state import Project, State
from tests.unit.emulator.conftest import Google, Issuer, principal
from tests.unit.emulator.storage_calls import issue_token

if TYPE_CHECKING:
    from refresher.emulator.http import Reply

NUMBER = "424242424242"
PROJECTS = ("example.com:legacy", "eu0:my-project", "a.b.example.co.uk:my-project-2")
KEY = "projects/{project}/locations/global/keyRings/workers/cryptoKeys/signer"


@pytest.fixture(params=PROJECTS)
def project(request: pytest.FixtureRequest, google: Google) -> str:
    """Return the id of a project in the cloud."""
    google.cloud.state.projects[request.param] = Project(number=NUMBER)
    found: str = request.param
    return found


@pytest.fixture(params=["plain", "encoded"])
def shown(request: pytest.FixtureRequest, project: str) -> str:
    """Return the project's id as it stands in a path, with a colon or with `%3A`."""
    return project if request.param == "plain" else quote(project, safe="")


def admin(google: Google, method: str, path: str, document: Any = None, **query: str) -> Reply:  # noqa: ANN401 - JSON
    """Send a request as the administrator."""
    return google.ask(method, path, document=document, query=query, token="anything")


@pytest.mark.parametrize(
    ("email", "project"),
    [
        ("task-alice@my-project.iam.gserviceaccount.com", "my-project"),
        ("task-alice@legacy.example.com.iam.gserviceaccount.com", "example.com:legacy"),
        ("task-alice@my-project.eu0.iam.gserviceaccount.com", "eu0:my-project"),
        ("my-project@appspot.gserviceaccount.com", "my-project"),
        ("legacy.example.com@appspot.gserviceaccount.com", "example.com:legacy"),
        ("123456789012-compute@developer.gserviceaccount.com", "123456789012"),
        ("carol@example.com", ""),
        ("task-alice@iam.gserviceaccount.com", ""),
    ],
)
def test_project_is_read_from_an_email(email: str, project: str) -> None:
    """The domain or partition of a project's id is behind its name in an e-mail."""
    assert read_project(email) == project


@pytest.mark.parametrize("project", ["my-project", *PROJECTS])
def test_composed_email_is_read_back(project: str) -> None:
    """The e-mail of an account has no colon, and contains its project."""
    email = compose_email("task-alice", project)

    assert ":" not in email
    assert read_project(email) == project


def test_accounts_of_the_project_have_the_reversed_email(google: Google, project: str, shown: str) -> None:
    """An account is created, shown, listed, changed, deleted and restored below such an id."""
    accounts = f"/v1/projects/{shown}/serviceAccounts"
    made = admin(google, "POST", accounts, {"accountId": "task-alice"}).document

    assert made["email"] == compose_email("task-alice", project)
    assert made["projectId"] == project
    account = f"{accounts}/{made['email']}"
    assert admin(google, "GET", account).document == made
    assert admin(google, "GET", accounts).document == {"accounts": [made]}
    for verb in ("disable", "enable"):
        assert admin(google, "POST", f"{account}:{verb}", {}).status == 200
    assert admin(google, "POST", f"{account}:getIamPolicy").document == {"etag": "ACAB"}
    assert admin(google, "DELETE", account).status == 200
    assert admin(google, "POST", f"{accounts}/{made['uniqueId']}:undelete", {}).status == 200


def test_project_is_described_and_has_a_policy(google: Google, project: str, shown: str) -> None:
    """The last part of such an id is not a method; a method after it is one."""
    binding = {"role": "roles/viewer", "members": ["user:carol@example.com"]}

    assert admin(google, "GET", f"/v1/projects/{shown}").document["projectId"] == project
    assert admin(google, "GET", f"/v3/projects/{shown}").document["name"] == f"projects/{NUMBER}"
    written = admin(google, "POST", f"/v1/projects/{shown}:setIamPolicy", {"policy": {"bindings": [binding]}}).document
    assert written["bindings"] == [binding]
    assert admin(google, "POST", f"/v1/projects/{shown}:getIamPolicy", {}).document == written
    assert admin(google, "POST", f"/v3/projects/{NUMBER}:getIamPolicy", {}).document == written
    asked = {"permissions": ["resourcemanager.projects.get"]}
    carol = issue_token(google, "user:carol@example.com")
    held = google.ask("POST", f"/v1/projects/{shown}:testIamPermissions", document=asked, token=carol)
    assert held.document == asked


@pytest.mark.parametrize(
    "path",
    [
        "/v1/projects/{}/services", "/v1/projects/{}/services/sts.googleapis.com", "/v1/projects/{}/roles",
        "/v1/projects/{}/locations/global/workloadIdentityPools", "/v2/projects/{}/metrics", "/v2/projects/{}/policies",
        "/v3/projects/{}/alertPolicies",
        "/v2/policies/cloudresourcemanager.googleapis.com%2Fprojects%2F{}/denypolicies",
        "/v2/projects/{}/locations/europe-west1/services/api:getIamPolicy", "/bigquery/v2/projects/{}/datasets",
    ],
)  # fmt: skip
def test_every_service_knows_the_project(google: Google, project: str, shown: str, path: str) -> None:
    """What belongs to such a project is found below its id, as below its number."""
    google.cloud.state.projects[project].policy.allow("roles/owner", "user:carol@example.com")
    carol = issue_token(google, "user:carol@example.com")

    found, by_number = (google.ask("GET", path.format(name), token=carol) for name in (shown, NUMBER))

    assert (found.status, found.document) == (200, by_number.document)


def test_policies_custom_roles_and_services_of_the_project_change(google: Google, project: str, shown: str) -> None:
    """Methods with a colon of their own work behind the id."""
    role = {"roleId": "tokenOnly", "role": {"includedPermissions": ["iam.serviceAccounts.getAccessToken"]}}
    name = f"projects/{shown}/policies/iam.disableServiceAccountCreation"

    made = admin(google, "POST", f"/v1/projects/{shown}/roles", role).document["name"]
    assert made == f"projects/{project}/roles/tokenOnly"
    admin(google, "DELETE", f"/v1/projects/{shown}/roles/tokenOnly")
    assert admin(google, "POST", f"/v1/projects/{shown}/roles/tokenOnly:undelete", {}).status == 200
    assert admin(google, "POST", f"/v1/projects/{shown}/services/run.googleapis.com:enable", {}).status == 200
    assert admin(google, "POST", f"/v1/projects/{shown}/services:batchEnable", {"serviceIds": ["a.b"]}).status == 200
    assert {"run.googleapis.com", "a.b"} < google.cloud.state.projects[project].services
    assert admin(google, "POST", f"/v2/projects/{shown}/policies", {"name": name, "spec": {"rules": []}}).status == 200
    assert admin(google, "GET", f"/v2/{name}").document["name"].startswith(f"projects/{project}/policies/")


def test_key_of_the_project_signs(google: Google, project: str, shown: str) -> None:
    """A key of Cloud KMS is found below such an id."""
    key = CryptoKey(project=project)
    key.add_version()
    key.policy.allow("roles/cloudkms.signerVerifier", "user:carol@example.com")
    google.cloud.state.crypto_keys[KEY.format(project=project)] = key
    carol = issue_token(google, "user:carol@example.com")

    reply = google.ask("GET", f"/v1/{KEY.format(project=shown)}/cryptoKeyVersions/1/publicKey", token=carol)

    assert reply.status == 200


def test_account_of_the_project_is_impersonated(google: Google, issuer: Issuer, project: str) -> None:
    """The account is used, may be a member of a policy, and appears in the audit log of its project."""
    email = compose_email("task-alice", project)
    google.cloud.state.allow(email, principal("user-1"))
    google.cloud.state.projects[project].policy.audit_configs = [
        {"service": "iam.googleapis.com", "auditLogConfigs": [{"logType": "ADMIN_READ"}]}
    ]

    reply = google.impersonate(email, google.exchange(issuer.token()).document["access_token"])

    assert google.whoami(reply.document["accessToken"])["service_account"] == email
    member = {"role": "roles/viewer", "members": [f"serviceAccount:{email}"]}
    policy = {"policy": {"bindings": [member]}}
    assert admin(google, "POST", f"/v1/projects/{project}:setIamPolicy", policy).status == 200
    absent = {"policy": {"bindings": [member | {"members": [f"serviceAccount:nobody-{email}"]}]}}
    assert admin(google, "POST", f"/v1/projects/{project}:setIamPolicy", absent).status == 400
    entries = admin(google, "POST", "/v2/entries:list", {"resourceNames": [f"projects/{project}"]}).document["entries"]
    methods = [entry["protoPayload"]["methodName"] for entry in entries]
    assert methods == ["GenerateAccessToken", "projects.setIamPolicy", "projects.setIamPolicy"]
    assert entries[1]["protoPayload"]["resourceName"] == f"projects/{project}"
    assert {entry["logName"].partition("/logs/")[0] for entry in entries} == {f"projects/{project}"}


def test_seed_creates_such_a_project(project: str) -> None:
    """A seed's account belongs to the project of its e-mail."""
    state = State()

    apply_seed(state, {"projects": {project: NUMBER}, "service_accounts": {compose_email("task-alice", project): None}})

    assert state.service_accounts[compose_email("task-alice", project)].project == project


@pytest.mark.parametrize("host", ["legacy.example.com", "example.com:legacy"])
def test_pool_of_the_projects_clusters_is_a_member(google: Google, host: str) -> None:
    """Workloads of Kubernetes Engine in such a project can be members, and those of an absent project cannot."""
    google.cloud.state.projects["example.com:legacy"] = Project(number=NUMBER)

    def bind(member: str) -> int:
        policy = {"policy": {"bindings": [{"role": "roles/viewer", "members": [member]}]}}
        return admin(google, "POST", "/v1/projects/my-project:setIamPolicy", policy).status

    assert bind(f"serviceAccount:{host}.svc.id.goog[apps/web]") == 200
    assert bind(f"serviceAccount:gone-{host}.svc.id.goog[apps/web]") == 400


@pytest.mark.parametrize(
    ("email", "project"),
    [
        ("123456789012-compute@developer.gserviceaccount.com", "my-project"),
        ("999-compute@developer.gserviceaccount.com", "my-project"),
        ("elsewhere@appspot.gserviceaccount.com", "elsewhere"),
    ],
)
def test_default_accounts_belong_to_their_project(email: str, project: str) -> None:
    """The default accounts of Compute Engine and App Engine belong to the project that their e-mail contains."""
    state = State()
    state.projects["elsewhere"] = Project(number=NUMBER)

    assert state.add_service_account(email).project == project


def test_unknown_default_account_is_refused(google: Google) -> None:
    """The default account of a project in this cloud must exist to be a member."""
    member = "serviceAccount:123456789012-compute@developer.gserviceaccount.com"
    policy = {"policy": {"bindings": [{"role": "roles/viewer", "members": [member]}]}}

    refused = admin(google, "POST", "/v1/projects/my-project:setIamPolicy", policy)
    google.cloud.state.add_service_account(member.removeprefix("serviceAccount:"))

    assert (refused.status, "does not exist" in refused.document["error"]["message"]) == (400, True)
    assert admin(google, "POST", "/v1/projects/my-project:setIamPolicy", policy).status == 200


@pytest.mark.parametrize("path", ["/v1/projects/my-project:getIamPolicy", "/v1/projects/my-project/roles:batchGet"])
def test_method_of_another_verb_is_unknown(google: Google, path: str) -> None:
    """A custom method with the wrong HTTP method is not read as a project's id."""
    assert admin(google, "GET", path).document["error"]["message"] == "Method not found."
