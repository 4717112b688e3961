from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.emulator.conftest import ALICE, POOL, Google, principal

if TYPE_CHECKING:
    from refresher.emulator.http import Reply

PROJECT = "/v1/projects/my-project"
ACCOUNT = f"{PROJECT}/serviceAccounts/{ALICE}"
USER = "roles/iam.workloadIdentityUser"
CAROL = "user:carol@example.com"


def bind(google: Google, where: str, *bindings: Any, **more: Any) -> Reply:  # noqa: ANN401 - JSON
    """Replace a policy as the administrator."""
    document = {"policy": {"bindings": list(bindings)}, **more}
    return google.ask("POST", f"{where}:setIamPolicy", document=document, token="anything")


def binding(member: str = CAROL, role: str = USER, expression: str = "") -> dict[str, Any]:
    """Return a binding of one member."""
    made: dict[str, Any] = {"role": role, "members": [member]}
    return made | ({"condition": {"title": "t", "expression": expression}} if expression else {})


def issue_token(google: Google, member: str) -> str:
    """Issue an access token of a member."""
    token: str = google.ask("POST", "/emulator/token", document={"member": member}).document["access_token"]
    return token


def test_project_policy_applies_to_its_accounts(google: Google, federated: str) -> None:
    """A role on the project applies to every service account in it, and to no account of another project."""
    other = "bob@other.iam.gserviceaccount.com"
    google.cloud.state.add_service_account(other)
    bind(google, ACCOUNT)
    assert google.impersonate(ALICE, federated).status == 403

    bind(google, PROJECT, binding(principal("user-1")))

    assert google.impersonate(ALICE, federated).status == 200
    assert google.impersonate(other, federated).status == 403


@pytest.mark.parametrize("role", ["roles/owner", "roles/editor", "roles/viewer", "roles/iam.serviceAccountUser"])
def test_basic_roles_do_not_allow_impersonation(google: Google, role: str) -> None:
    """Even the owner of a project needs another role to act as an account."""
    google.cloud.state.add_service_account(ALICE)
    bind(google, PROJECT, binding(role=role))

    assert google.impersonate(ALICE, issue_token(google, CAROL)).status == 403


def test_custom_role_grants_its_permissions(google: Google, federated: str) -> None:
    """A custom role grants its permissions until it is deleted, and again when it is undeleted."""
    role = "projects/my-project/roles/tokenOnly"
    body = {
        "roleId": "tokenOnly",
        "role": {"title": "T", "includedPermissions": ["iam.serviceAccounts.getAccessToken"]},
    }
    made = google.ask("POST", f"{PROJECT}/roles", document=body, token="anything").document
    assert bind(google, ACCOUNT, binding(principal("user-1"), role)).status == 200
    assert google.impersonate(ALICE, federated).status == 200

    google.ask("DELETE", f"/v1/{role}", token="anything")
    assert google.impersonate(ALICE, federated).status == 403
    assert google.ask("GET", f"/v1/{role}", token="anything").document["deleted"] is True
    assert google.ask("GET", f"{PROJECT}/roles", token="anything").document == {}
    assert google.ask("POST", f"{PROJECT}/roles", document=body, token="anything").status == 400

    google.ask("POST", f"/v1/{role}:undelete", document={}, token="anything")
    assert google.impersonate(ALICE, federated).status == 200
    patch = {"includedPermissions": ["iam.serviceAccounts.signBlob"], "etag": made["etag"]}
    assert google.ask("PATCH", f"/v1/{role}", document=patch, token="anything").status == 200
    assert google.impersonate(ALICE, federated).status == 403
    assert google.ask("PATCH", f"/v1/{role}", document=patch, token="anything").status == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"roleId": "a b", "role": {}}, 400),
        ({"roleId": "ok_role.1", "role": {"stage": "NEVER"}}, 400),
        ({"roleId": "ok_role.1", "role": {"includedPermissions": "x"}}, 400),
        ({"roleId": "ok_role.1", "role": {"stage": "BETA"}}, 200),
    ],
)
def test_invalid_roles_are_refused(google: Google, body: dict[str, Any], status: int) -> None:
    """The id and the stage of a custom role must be valid."""
    assert google.ask("POST", f"{PROJECT}/roles", document=body, token="anything").status == status


@pytest.mark.parametrize(
    ("expression", "status"),
    [
        ("request.time < timestamp('2100-01-01T00:00:00Z')", 200),
        ("request.time < timestamp('2000-01-01T00:00:00Z')", 403),
        ("resource.name.startsWith('projects/-/serviceAccounts/')", 200),
        ("resource.type == 'iam.googleapis.com/ServiceAccount'", 200),
        ("resource.service == 'storage.googleapis.com'", 403),
        ("resource.absent == 'x'", 403),
    ],
)
def test_binding_applies_while_its_condition_is_true(
    google: Google, federated: str, expression: str, status: int
) -> None:
    """A binding applies while its condition is true, and not if its condition fails."""
    reply = bind(google, ACCOUNT, binding(principal("user-1"), expression=expression))

    assert reply.status == 200
    assert google.impersonate(ALICE, federated).status == status


def test_binding_can_expire(google: Google, federated: str) -> None:
    """A condition on the time uses the cloud's clock."""
    end = google.cloud.clock.now() + timedelta(minutes=1)
    bind(
        google,
        ACCOUNT,
        binding(principal("user-1"), expression=f"request.time < timestamp('{end:%Y-%m-%dT%H:%M:%SZ}')"),
    )

    assert google.impersonate(ALICE, federated).status == 200
    google.cloud.clock.advance(timedelta(minutes=1))
    assert google.impersonate(ALICE, federated).status == 403


@pytest.mark.parametrize(
    ("member", "is_granted"),
    [
        (CAROL, True),
        ("group:team@example.com", True),
        ("domain:example.com", True),
        ("allAuthenticatedUsers", True),
        ("user:mallory@example.com", False),
        ("group:other@example.com", False),
        ("domain:example.org", False),
    ],
)
def test_members_have_several_kinds(google: Google, member: str, is_granted: bool) -> None:  # noqa: FBT001 - a column
    """A user is a member as a user, by a group, by the domain, and as one of all users."""
    google.cloud.state.groups = {"team@example.com": {CAROL}, "other@example.com": set()}
    google.cloud.state.allow(ALICE, member)

    assert (google.impersonate(ALICE, issue_token(google, CAROL)).status == 200) is is_granted


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (binding("carol@example.com"), "is of an unknown type"),
        (binding("principle://x"), "is of an unknown type"),
        (binding("principal://pool-one/subject/x"), "Invalid principal"),
        (binding(principal("x", POOL.replace("workers", "absent"))), "Identity Pool does not exist"),
        (binding("serviceAccount:gone.svc.id.goog[apps/web]"), "Identity Pool does not exist (gone.svc.id.goog)"),
        (binding("serviceAccount:nobody@my-project.iam.gserviceaccount.com"), "does not exist"),
        (binding(role="workloadIdentityUser"), "is not supported for this resource"),
        (binding(role="projects/my-project/roles/absent"), "is not supported for this resource"),
        (binding(expression="[1].all(x, x == 1)"), "Invalid condition expression"),
        (binding(expression="request."), "Invalid condition expression"),
        (binding(expression=" && ".join(["true"] * 14)), "at most 12 logical operators"),
        ({"role": USER, "members": [f"user:u{number}@example.com" for number in range(1501)]}, "at most 1500"),
        ({"role": USER, "members": "x"}, "Invalid value for field members"),
        ("x", "Invalid value for field policy.bindings"),
    ],
)
def test_invalid_bindings_are_refused(google: Google, entry: object, text: str) -> None:
    """T8 and similar refusals: what Google would not accept is refused, and the policy stays."""
    google.cloud.state.allow(ALICE, CAROL)
    before = google.ask("POST", f"{ACCOUNT}:getIamPolicy", token="anything").document

    reply = bind(google, ACCOUNT, entry)

    assert (reply.status, text in reply.document["error"]["message"]) == (400, True), reply.document
    assert google.ask("POST", f"{ACCOUNT}:getIamPolicy", token="anything").document == before


def test_conditions_of_a_policy_are_bounded(google: Google) -> None:
    """Every request evaluates all conditions, so they cannot have megabytes."""
    google.cloud.state.add_service_account(ALICE)
    conditions = [binding(expression=f"resource.name != '{'x' * 4000}{number}'") for number in range(17)]

    assert bind(google, ACCOUNT, *conditions[:16]).status == 200
    assert bind(google, ACCOUNT, *conditions).status == 400


def test_pool_of_a_cluster_can_be_bound(google: Google) -> None:
    """A workload of Kubernetes Engine can be a member if its project exists."""
    google.cloud.state.add_service_account(ALICE)

    assert bind(google, ACCOUNT, binding("serviceAccount:my-project.svc.id.goog[apps/web]")).status == 200


def test_policy_with_conditions_has_version_three(google: Google) -> None:
    """The version shows whether there are conditions; one role with and without a condition is two bindings."""
    google.cloud.state.add_service_account(ALICE)
    reply = bind(google, ACCOUNT, binding(), binding("user:dan@example.com"), binding(expression="true"))

    assert reply.document["version"] == 3
    assert [sorted(entry["members"]) for entry in reply.document["bindings"]] == [
        [CAROL, "user:dan@example.com"],
        [CAROL],
    ]


def test_audit_configurations_are_for_projects(google: Google) -> None:
    """They only change if the mask contains them, and `iamcredentials` is refused (measured)."""
    logs = [{"logType": "ADMIN_READ"}]

    def configure(service: str, mask: str, log_type: str = "ADMIN_READ") -> Reply:
        policy = {"auditConfigs": [{"service": service, "auditLogConfigs": [{"logType": log_type}]}]}
        body = {"policy": policy, "updateMask": mask}
        return google.ask("POST", f"{PROJECT}:setIamPolicy", document=body, token="anything")

    assert "auditConfigs" not in configure("sts.googleapis.com", "bindings").document
    kept = configure("sts.googleapis.com", "bindings,etag,auditConfigs").document["auditConfigs"]
    assert kept == [{"service": "sts.googleapis.com", "auditLogConfigs": logs}]
    assert configure("iamcredentials.googleapis.com", "auditConfigs").status == 400
    assert configure("sts.googleapis.com", "auditConfigs", "ADMIN_WRITE").status == 400


@pytest.mark.parametrize("where", [f"/v1/{POOL}", f"{PROJECT}", "/v3/projects/my-project"])
def test_pools_and_projects_have_policies(google: Google, where: str) -> None:
    """A policy is read as it was written."""
    written = bind(google, where, binding(role="roles/iam.workloadIdentityPoolViewer")).document

    read = google.ask("POST", f"{where}:getIamPolicy", document={"options": {}}, token="anything").document
    assert read == written


@pytest.mark.parametrize(
    ("role", "may_read", "may_write"),
    [
        ("roles/iam.workloadIdentityPoolViewer", True, False),
        ("roles/iam.workloadIdentityPoolAdmin", True, True),
        ("roles/viewer", True, False),
        ("roles/owner", True, True),
        ("roles/storage.admin", False, False),
    ],
)
def test_policies_apply_to_tokens_of_the_emulator(
    google: Google,
    role: str,
    may_read: bool,  # noqa: FBT001 - a column
    may_write: bool,  # noqa: FBT001 - a column
) -> None:
    """T9: a caller with such a token has exactly the rights of the policies, at the admin services too."""
    bind(google, PROJECT, binding(role=role))
    carol = issue_token(google, CAROL)

    read = google.ask("GET", f"/v1/{POOL}", token=carol)
    written = google.ask("PATCH", f"/v1/{POOL}", document={}, query={"updateMask": "disabled"}, token=carol)

    assert (read.status, written.status) == (200 if may_read else 403, 200 if may_write else 403)


@pytest.mark.parametrize("mask", ["policy.bindings", "*", "bindings,nonsense", "audit-configs", ","])
def test_unknown_mask_is_refused(google: Google, mask: str) -> None:
    """A mask that names no field of a policy is 400 instead of a write that changes nothing."""
    assert bind(google, PROJECT, binding(role="roles/viewer"), updateMask=mask).status == 400
    assert google.cloud.state.projects["my-project"].policy.bindings == []


@pytest.mark.parametrize(
    ("mask", "changed"),
    [
        ({}, {"bindings"}),
        ({"updateMask": ""}, {"bindings"}),
        ({"updateMask": "bindings, etag"}, {"bindings"}),
        ({"updateMask": "auditConfigs"}, {"auditConfigs"}),
        ({"updateMask": "audit_configs,bindings"}, {"auditConfigs", "bindings"}),
        ({"updateMask": "etag"}, set()),
    ],
)
def test_mask_decides_what_is_replaced(google: Google, mask: dict[str, str], changed: set[str]) -> None:
    """By default the bindings of a policy are replaced, with a mask what it names."""
    audit = [{"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}]
    document = {"policy": {"bindings": [binding(role="roles/viewer")], "auditConfigs": audit}, **mask}

    shown = google.ask("POST", f"{PROJECT}:setIamPolicy", document=document, token="anything").document

    assert {"bindings", "auditConfigs"} & shown.keys() == changed
