"""Roles that do not exist, or do not fit a resource, are refused with Google's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.roles import ROLES, is_grantable, is_role
from refresher.emulator.seed import apply_seed
from refresher.emulator.state import Role, State
from refresher.emulator.storage_state import Bucket
from refresher.errors import EmulatorError
from tests.unit.emulator.conftest import ALICE, POOL, Google
from tests.unit.emulator.storage_calls import issue_token

if TYPE_CHECKING:
    from refresher.emulator.http import Reply

CAROL = "user:carol@example.com"
ABSENT = [
    "roles/storage.objectVeiwer",
    "roles/storage.objectviewer",
    "roles/iam.workloadIdentityUsr",
    "roles/iam.serviceaccountTokenCreator",
    "roles/cloudkms.editor",
    "roles/run.invokers",
    "roles/logging.reader",
    "roles/resourcemanager.projectAdmin",
    "roles/serviceusage.viewer",
    "roles/monitoring.absent",
    "roles/orgpolicy.editor",
    "roles/absent",
    "roles/",
    "roles/storage.",
    "roles/.admin",
    "Roles/viewer",
    "viewer",
    "",
    "projects/my-project/roles/absent",
    "projects/my-project/roles/no",
    "folders/1/roles/absent",
]
PRESENT = [
    "roles/viewer",
    "roles/browser",
    "roles/storage.objectViewer",
    "roles/storage.folderAdmin",
    "roles/iam.workloadIdentityUser",
    "roles/iam.principalAccessBoundaryUser",
    "roles/logging.logWriter",
    "roles/monitoring.metricWriter",
    "roles/run.invoker",
    "roles/pubsub.publisher",
    "roles/bigquery.dataEditor",
    "roles/cloudbuild.builds.editor",
    "organizations/1/roles/ours",
]


def bind(google: Google, where: str, role: str) -> Reply:
    """Grant a role on a resource."""
    policy = {"bindings": [{"role": role, "members": [CAROL]}]}
    if where == "bucket":
        return google.ask("PUT", "/storage/v1/b/data/iam", document=policy, token="anything")
    path = {
        "project": "/v1/projects/my-project",
        "account": f"/v1/projects/my-project/serviceAccounts/{ALICE}",
        "pool": f"/v1/{POOL}",
        "service": "/v2/projects/my-project/locations/europe-west1/services/api",
    }[where]
    return google.ask("POST", f"{path}:setIamPolicy", document={"policy": policy}, token="anything")


@pytest.fixture
def resources(google: Google) -> Google:
    """Return a cloud with an account and a bucket."""
    google.cloud.state.add_service_account(ALICE)
    google.cloud.state.buckets["data"] = Bucket(project="my-project", created=0.0)
    return google


@pytest.mark.parametrize("role", ABSENT)
@pytest.mark.parametrize("where", ["project", "account", "pool", "service", "bucket"])
def test_role_that_does_not_exist_is_refused(resources: Google, where: str, role: str) -> None:
    """A misspelt role is refused on every resource, not granted without effect."""
    reply = bind(resources, where, role)

    assert (reply.status, reply.document["error"]["message"]) == (
        400,
        f"Role {role} is not supported for this resource.",
    )


@pytest.mark.parametrize("role", PRESENT)
def test_role_that_exists_is_granted_on_a_project(resources: Google, role: str) -> None:
    """Roles of the services here are known by name; of other services, any role of the right form is accepted."""
    assert bind(resources, "project", role).status == 200


@pytest.mark.parametrize(
    ("where", "role", "status"),
    [
        ("account", "roles/iam.workloadIdentityUser", 200),
        ("account", "roles/iam.serviceAccountTokenCreator", 200),
        ("account", "roles/iam.serviceAccountKeyAdmin", 200),
        ("account", "roles/owner", 200),
        ("account", "roles/iam.securityAdmin", 200),
        ("account", "roles/dataflow.serviceAgent", 200),
        ("account", "roles/storage.admin", 400),
        ("account", "roles/storage.objectViewer", 400),
        ("account", "roles/run.invoker", 400),
        ("account", "roles/serviceusage.apiKeysAdmin", 400),
        ("account", "roles/iam.workloadIdentityPoolAdmin", 400),
        ("account", "roles/iam.denyAdmin", 400),
        ("pool", "roles/iam.workloadIdentityPoolViewer", 200),
        ("pool", "roles/iam.workloadIdentityUser", 400),
        ("bucket", "roles/storage.objectViewer", 200),
        ("bucket", "roles/storage.legacyBucketReader", 200),
        ("bucket", "roles/storage.folderAdmin", 200),
        ("bucket", "roles/viewer", 400),
        ("bucket", "roles/owner", 400),
        ("bucket", "roles/iam.serviceAccountUser", 400),
        ("service", "roles/run.invoker", 200),
        ("service", "roles/viewer", 200),
        ("service", "roles/storage.objectViewer", 400),
    ],
)
def test_role_must_fit_the_resource(resources: Google, where: str, role: str, status: int) -> None:
    """A role without a permission on this kind of resource is refused with the same text."""
    assert bind(resources, where, role).status == status


@pytest.mark.parametrize("where", ["project", "account", "pool", "service", "bucket"])
def test_custom_role_is_granted_while_it_exists(resources: Google, where: str) -> None:
    """A custom role can be granted anywhere, and no longer once it is deleted."""
    resources.cloud.state.roles["projects/my-project/roles/mine"] = Role(permissions=["storage.objects.get"])
    assert bind(resources, where, "projects/my-project/roles/mine").status == 200

    resources.cloud.state.roles["projects/my-project/roles/mine"].deleted_at = 0.0

    assert bind(resources, where, "projects/my-project/roles/mine").status == 400


@pytest.mark.parametrize("part", ["service_accounts", "project_policies", "buckets", "crypto_keys"])
def test_seed_cannot_contain_a_role_that_does_not_exist(part: str) -> None:
    """A misspelt role in a seed is shown with its place."""
    bindings: dict[str, Any] = {"roles/iam.workloadIdentityUsr": [CAROL]}
    key = "projects/my-project/locations/global/keyRings/workers/cryptoKeys/signer"
    seed: dict[str, Any] = {
        "service_accounts": {ALICE: bindings},
        "project_policies": {"my-project": bindings},
        "buckets": {"data": bindings},
        "crypto_keys": {key: {"bindings": bindings}},
    }

    with pytest.raises(EmulatorError, match=rf"the seed's {part}\..*: Role roles/iam.workloadIdentityUsr is not"):
        apply_seed(State(), {part: seed[part]})


def test_seed_can_add_a_predefined_role(google: Google) -> None:
    """A role that Google has added since is named in the seed with its permissions, and then works."""
    role = "roles/storage.objectReader"
    state = google.cloud.state
    state.roles["projects/my-project/roles/before"] = Role(permissions=[])
    seed = {
        "roles": {role: ["storage.objects.list"]},
        "buckets": {"data": {role: [CAROL], "projects/my-project/roles/before": [CAROL]}},
    }

    apply_seed(state, seed)

    assert bind(google, "bucket", role).status == 200
    carol = issue_token(google, CAROL)
    assert google.ask("GET", "/storage/v1/b/data/o", token=carol).status == 200


@pytest.mark.parametrize("role", ROLES)
def test_every_role_with_permissions_exists(role: str) -> None:
    """Each role in the table of permissions can be granted on a project."""
    assert is_role(State(), role)
    assert is_grantable(role, "")


def test_permissions_of_a_custom_role_can_be_queried(google: Google) -> None:
    """The list that gcloud reads before it creates a role has the permissions that are checked, each once."""
    body = {"fullResourceName": "//cloudresourcemanager.googleapis.com/projects/my-project"}

    path = "/v1/permissions:queryTestablePermissions"
    names = [
        entry["name"] for entry in google.ask("POST", path, document=body, token="anything").document["permissions"]
    ]

    assert {"iam.serviceAccounts.getAccessToken", "storage.objects.get"} <= set(names)
    assert (len(names), [name for name in names if "*" in name]) == (len(set(names)), [])
