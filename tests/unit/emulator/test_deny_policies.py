"""Deny policies go before every grant: https://cloud.google.com/iam/docs/deny-overview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.state import ORGANIZATION
from refresher.emulator.storage_state import Bucket
from tests.unit.emulator.conftest import ALICE, POOL, principal

if TYPE_CHECKING:
    from refresher.emulator.http import Reply
    from tests.unit.emulator.conftest import Google, Issuer

EVERYONE = "principalSet://goog/public:all"
CAROL = "user:carol@example.com"
PROVIDER = f"/v1/{POOL}/providers/refresher"
UPDATE = "iam.googleapis.com/workloadIdentityPoolProviders.update"
ACT = "iam.googleapis.com/serviceAccounts.getAccessToken"


def point(name: str) -> str:
    """Return the path of the deny policies that are attached to a resource."""
    return f"/v2/policies/cloudresourcemanager.googleapis.com%2F{name.replace('/', '%2F')}/denypolicies"


def deny(google: Google, *, at: str = "projects/my-project", **rule: Any) -> Reply:  # noqa: ANN401 - any value of a rule
    """Create a deny policy with one rule."""
    rules = [{"description": "A test", "denyRule": rule}]
    return google.ask("POST", point(at), document={"rules": rules}, query={"policyId": "a-test"}, token="anything")


@pytest.fixture
def carol(google: Google) -> str:
    """Return a token of a user who may change providers and impersonate alice."""
    google.cloud.state.projects["my-project"].policy.allow("roles/iam.workloadIdentityPoolAdmin", CAROL)
    google.cloud.state.allow(ALICE, CAROL, "roles/iam.serviceAccountTokenCreator")
    token: str = google.ask("POST", "/emulator/token", document={"member": CAROL}).document["access_token"]
    return token


def change(google: Google, token: str) -> Reply:
    """Change the provider."""
    query = {"updateMask": "description"}
    return google.ask("PATCH", PROVIDER, document={"description": "changed"}, query=query, token=token)


def test_denied_permission_beats_the_role(google: Google, carol: str) -> None:
    """Who has the role loses the denied permission alone, and has it again when the policy is deleted."""
    assert change(google, carol).status == 200

    assert deny(google, deniedPrincipals=[EVERYONE], deniedPermissions=[UPDATE]).status == 200

    refused = change(google, carol)
    assert refused.status == 403
    assert refused.document["error"]["message"].startswith(
        "Permission 'iam.workloadIdentityPoolProviders.update' denied on resource"
    )
    assert google.ask("GET", PROVIDER, token=carol).status == 200
    assert google.impersonate(ALICE, carol).status == 200

    google.ask("DELETE", f"{point('projects/my-project')}/a-test", token="anything")

    assert change(google, carol).status == 200


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ({"deniedPrincipals": ["principal://goog/subject/carol@example.com"]}, 403),
        ({"deniedPrincipals": ["principal://goog/subject/dora@example.com"]}, 200),
        ({"deniedPrincipals": ["principalSet://goog/group/team@example.com"]}, 403),
        ({"exceptionPrincipals": ["principal://goog/subject/carol@example.com"]}, 200),
        ({"exceptionPrincipals": ["principal://goog/subject/dora@example.com"]}, 403),
        ({"exceptionPrincipals": ["principalSet://goog/group/team@example.com"]}, 200),
        ({"deniedPermissions": ["iam.googleapis.com/workloadIdentityPoolProviders.*"]}, 403),
        ({"deniedPermissions": ["iam.googleapis.com/*.update"]}, 403),
        ({"deniedPermissions": ["iam.googleapis.com/*.*"]}, 403),
        ({"deniedPermissions": ["iam.googleapis.com/workloadIdentityPools.*"]}, 200),
        ({"deniedPermissions": ["storage.googleapis.com/*.*"]}, 200),
        ({"deniedPermissions": ["iam.googleapis.com/*.*"], "exceptionPermissions": [UPDATE]}, 200),
        ({"deniedPermissions": []}, 200),
    ],
)
def test_rule_applies_to_its_principals_and_permissions(
    google: Google, carol: str, rule: dict[str, Any], status: int
) -> None:
    """Exceptions go before what is denied, and a part of a permission may be any."""
    google.cloud.state.groups["team@example.com"] = {CAROL}

    deny(google, **{"deniedPrincipals": [EVERYONE], "deniedPermissions": [UPDATE], **rule})

    assert change(google, carol).status == status


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("projects/my-project", 403),
        ("projects/123456789012", 403),
        (f"organizations/{ORGANIZATION}", 403),
        ("organizations/222", 200),
        ("folders/111", 200),
        ("projects/other-project", 200),
    ],
)
def test_policy_applies_below_its_attachment_point(google: Google, carol: str, at: str, status: int) -> None:
    """A policy of the project, or of the organisation of all projects, applies; one of another resource does not."""
    google.cloud.state.add_project("other-project", "222222222222")

    deny(google, at=at, deniedPrincipals=[EVERYONE], deniedPermissions=[UPDATE])

    assert change(google, carol).status == status


@pytest.mark.parametrize(
    ("denied", "status"),
    [
        (principal("user-1"), 403),
        (principal("user-2"), 200),
        (f"principalSet://iam.googleapis.com/{POOL}/*", 403),
        (f"principalSet://iam.googleapis.com/{POOL}/attribute.team/a", 200),
        (EVERYONE, 403),
        (f"principal://iam.googleapis.com/projects/-/serviceAccounts/{ALICE}", 200),
    ],
)
def test_subject_cannot_impersonate_when_denied(google: Google, issuer: Issuer, denied: str, status: int) -> None:
    """A subject of a pool, or all of them, can be kept from impersonation."""
    google.cloud.state.allow(ALICE, principal("user-1"))
    token = google.exchange(issuer.token(sub="user-1")).document["access_token"]

    deny(google, deniedPrincipals=[denied], deniedPermissions=[ACT])

    assert google.impersonate(ALICE, token).status == status


def test_account_is_denied_by_its_email(google: Google, issuer: Issuer) -> None:
    """An account with a role on a bucket does not read when the project denies it, and others do."""
    google.cloud.state.allow(ALICE, principal("user-1"))
    bucket = google.cloud.state.buckets.setdefault("data", Bucket(project="my-project", created=0.0))
    bucket.policy.allow("roles/storage.objectViewer", f"serviceAccount:{ALICE}")
    federated = google.exchange(issuer.token(sub="user-1")).document["access_token"]
    token = google.impersonate(ALICE, federated).document["accessToken"]
    assert google.ask("GET", "/storage/v1/b/data/o", token=token).status == 200

    account = f"principal://iam.googleapis.com/projects/-/serviceAccounts/{ALICE}"
    deny(google, deniedPrincipals=[account], deniedPermissions=["storage.googleapis.com/objects.list"])

    assert google.ask("GET", "/storage/v1/b/data/o", token=token).status == 403


def test_permissions_of_resource_manager_have_their_own_name(google: Google, carol: str) -> None:
    """`resourcemanager.projects.get` of roles is `cloudresourcemanager.googleapis.com/projects.get` here."""
    assert google.ask("GET", "/v1/projects/my-project", token=carol).status == 200

    deny(google, deniedPrincipals=[EVERYONE], deniedPermissions=["cloudresourcemanager.googleapis.com/projects.get"])

    assert google.ask("GET", "/v1/projects/my-project", token=carol).status == 403


@pytest.mark.parametrize(
    "rule",
    [
        {"deniedPrincipals": [CAROL]},
        {"deniedPrincipals": ["allUsers"]},
        {"exceptionPrincipals": [f"serviceAccount:{ALICE}"]},
        {"deniedPermissions": ["iam.workloadIdentityPoolProviders.update"]},
        {"deniedPermissions": ["iam.googleapis.com/workloadIdentityPoolProviders"]},
        {"exceptionPermissions": ["*"]},
        {"deniedPermissions": UPDATE},
        {"denialCondition": {"expression": "resource.matchTag('1/env', 'test')"}},
    ],
)
def test_other_forms_are_refused(google: Google, carol: str, rule: dict[str, Any]) -> None:
    """Members and permissions as IAM policies and roles have them, and conditions, are 400 and change nothing."""
    usual = {"deniedPrincipals": [EVERYONE], "deniedPermissions": [UPDATE]}

    assert deny(google, **{**usual, **rule}).status == 400
    assert change(google, carol).status == 200


def test_policy_of_an_absent_project_is_refused(google: Google) -> None:
    """A project that does not exist has no deny policies."""
    assert deny(google, at="projects/no-project", deniedPrincipals=[EVERYONE], deniedPermissions=[UPDATE]).status == 403
