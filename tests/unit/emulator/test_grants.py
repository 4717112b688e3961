"""Grants belong to the account that had the e-mail when they were written, not to the e-mail."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.crypto_keys import CryptoKey
from refresher.emulator.seed import apply_seed
from refresher.emulator.state import KEPT_AFTER_DELETION
from refresher.emulator.storage_state import Bucket
from tests.unit.emulator.conftest import BOB, POOL, Google, Issuer, principal
from tests.unit.emulator.storage_calls import OBJECTS, issue_token

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.emulator.http import Reply
    from tests.conftest import LoadCloud

ACCOUNTS = "/v1/projects/my-project/serviceAccounts"
EMAIL = "task-alice@my-project.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{EMAIL}"
KEY = "projects/my-project/locations/global/keyRings/workers/cryptoKeys/signer"
RUN = "/v2/projects/my-project/locations/europe-west1/services/api"
POLICIES = {
    "bucket": ("/storage/v1/b/data/iam", "roles/storage.objectViewer"),
    "project": ("/v1/projects/my-project", "roles/browser"),
    "account": (f"{ACCOUNTS}/{BOB}", "roles/iam.serviceAccountTokenCreator"),
    "pool": (f"/v1/{POOL}", "roles/iam.workloadIdentityPoolViewer"),
    "service of Cloud Run": (RUN, "roles/run.invoker"),
}
"""Where each policy is, and a role that it can grant."""


def admin(google: Google, method: str, path: str, document: Any = None) -> Reply:  # noqa: ANN401 - JSON
    """Send a request as the administrator."""
    return google.ask(method, path, document=document, token="anything")


def create(google: Google) -> str:
    """Create the account and return its unique id."""
    unique_id: str = admin(google, "POST", ACCOUNTS, {"accountId": "task-alice"}).document["uniqueId"]
    return unique_id


def delete(google: Google) -> None:
    """Delete the account."""
    assert admin(google, "DELETE", f"{ACCOUNTS}/{EMAIL}").status == 200


def undelete(google: Google, unique_id: str) -> int:
    """Undelete an account and return the status."""
    return admin(google, "POST", f"{ACCOUNTS}/{unique_id}:undelete", {}).status


def read_policy(google: Google, where: str) -> dict[str, Any]:
    """Return the policy of a resource."""
    path, _ = POLICIES[where]
    if where == "bucket":
        return dict(admin(google, "GET", path).document)
    method = "GET" if path == RUN else "POST"
    return dict(admin(google, method, f"{path}:getIamPolicy", None if method == "GET" else {}).document)


def write_policy(google: Google, where: str, *members: str) -> Reply:
    """Replace the policy of a resource with one binding."""
    path, role = POLICIES[where]
    policy = {"bindings": [{"role": role, "members": list(members)}]}
    if where == "bucket":
        return admin(google, "PUT", path, policy)
    return admin(google, "POST", f"{path}:setIamPolicy", {"policy": policy})


def list_members(google: Google, where: str) -> list[str]:
    """Return the members of all bindings of a policy."""
    return [member for binding in read_policy(google, where).get("bindings", []) for member in binding["members"]]


def deleted(unique_id: str) -> str:
    """Return how a policy shows the deleted account."""
    return f"deleted:{MEMBER}?uid={unique_id}"


@pytest.fixture
def account(google: Google) -> str:
    """Create the account, a bucket and a key; return the account's unique id."""
    google.cloud.state.add_service_account(BOB)
    google.cloud.state.buckets["data"] = Bucket(project="my-project", created=0.0)
    google.cloud.state.crypto_keys[KEY] = CryptoKey(project="my-project")
    google.cloud.state.crypto_keys[KEY].add_version()
    return create(google)


@pytest.mark.parametrize("where", POLICIES)
def test_grant_shows_that_its_account_was_deleted(google: Google, account: str, where: str) -> None:
    """The member reads `deleted:serviceAccount:EMAIL?uid=UNIQUE_ID`, also after a new account has the e-mail."""
    assert write_policy(google, where, MEMBER).status == 200
    before = read_policy(google, where)

    delete(google)

    after = read_policy(google, where)
    assert (before["bindings"][0]["members"], after["bindings"][0]["members"]) == ([MEMBER], [deleted(account)])
    assert before["etag"] != after["etag"]
    create(google)
    assert read_policy(google, where) == after


@pytest.mark.parametrize("where", POLICIES)
def test_undeletion_restores_the_grant(google: Google, account: str, where: str) -> None:
    """Within 30 days the policy becomes what it was."""
    write_policy(google, where, MEMBER, "user:carol@example.com")
    before = read_policy(google, where)
    delete(google)

    assert undelete(google, account) == 200

    assert read_policy(google, where) == before


@pytest.mark.parametrize("where", ["bucket", "project", "account"])
def test_new_account_inherits_nothing(google: Google, account: str, where: str, issuer: Issuer) -> None:
    """403: the new account of the same name has none of the rights, until they are granted to it."""
    write_policy(google, where, MEMBER)

    def use() -> int:
        google.cloud.state.allow(EMAIL, principal("user-1"))
        token = google.exchange(issuer.token()).document["access_token"]
        token = google.impersonate(EMAIL, token).document["accessToken"]
        if where == "bucket":
            return google.ask("GET", OBJECTS, token=token).status
        if where == "project":
            return google.ask("GET", "/v1/projects/my-project", token=token).status
        return google.impersonate(BOB, token).status

    before = use()
    delete(google)
    create(google)
    assert (before, use()) == (200, 403)

    write_policy(google, where, deleted(account), MEMBER)

    assert use() == 200
    assert list_members(google, where) == [deleted(account), MEMBER]


def test_own_policy_of_the_account_is_not_inherited(google: Google, account: str) -> None:
    """A new account has an empty policy; the old one gets its own back."""
    admin(google, "POST", f"{ACCOUNTS}/{EMAIL}:setIamPolicy", {"policy": {"bindings": [
        {"role": "roles/iam.workloadIdentityUser", "members": [principal("user-1")]}
    ]}})  # fmt: skip
    delete(google)
    create(google)

    assert admin(google, "POST", f"{ACCOUNTS}/{EMAIL}:getIamPolicy").document == {"etag": "ACAB"}
    delete(google)
    assert undelete(google, account) == 200
    shown = admin(google, "POST", f"{ACCOUNTS}/{EMAIL}:getIamPolicy").document["bindings"]
    assert shown[0]["members"] == [principal("user-1")]


def test_undeletion_is_refused_while_another_account_has_the_email(google: Google, account: str) -> None:
    """409: two accounts never share an e-mail, and each of several deleted ones can be undeleted."""
    write_policy(google, "bucket", MEMBER)
    delete(google)
    second = create(google)

    assert undelete(google, account) == 409
    delete(google)
    third = create(google)
    assert len({account, second, third}) == 3
    delete(google)
    assert undelete(google, second) == 200
    assert admin(google, "GET", f"{ACCOUNTS}/{EMAIL}").document["uniqueId"] == second
    assert list_members(google, "bucket") == [deleted(account)]
    delete(google)
    assert undelete(google, account) == 200
    assert list_members(google, "bucket") == [MEMBER]
    assert [entry["uniqueId"] for entry in admin(google, "GET", ACCOUNTS).document["accounts"]][-1] == account


def test_grant_stays_void_after_thirty_days(google: Google, account: str) -> None:
    """The account can no longer be restored, and a new one inherits nothing even then."""
    write_policy(google, "bucket", MEMBER)
    delete(google)
    google.clock.pass_(timedelta(seconds=KEPT_AFTER_DELETION))

    assert undelete(google, account) == 404
    create(google)
    assert list_members(google, "bucket") == [deleted(account)]


def test_deleted_account_cannot_become_a_member(google: Google, account: str) -> None:
    """400 for its e-mail; its deleted form, which clients read and write back, is accepted."""
    write_policy(google, "bucket", MEMBER)
    delete(google)

    assert write_policy(google, "bucket", MEMBER).status == 400
    assert write_policy(google, "bucket", *list_members(google, "bucket")).status == 200
    assert undelete(google, account) == 200
    assert list_members(google, "bucket") == [MEMBER]


def test_deleted_form_of_an_account_that_exists_is_the_account(google: Google, account: str) -> None:
    """A policy that was read before an undeletion and is written after it grants the role to the account."""
    assert write_policy(google, "bucket", deleted(account)).status == 200
    assert list_members(google, "bucket") == [MEMBER]
    assert write_policy(google, "bucket", deleted("1" * 21)).status == 200
    assert list_members(google, "bucket") == [deleted("1" * 21)]


@pytest.mark.parametrize("listed", [MEMBER, EMAIL])
def test_new_account_is_in_no_group_of_the_old_one(google: Google, account: str, listed: str) -> None:
    """A membership of a group belongs to the account as well, whichever form the group lists."""
    google.cloud.state.groups["team@example.com"] = {listed}
    write_policy(google, "bucket", "group:team@example.com")
    before = google.ask("GET", OBJECTS, token=issue_token(google, MEMBER)).status
    delete(google)
    create(google)

    assert (before, google.ask("GET", OBJECTS, token=issue_token(google, MEMBER)).status) == (200, 403)
    delete(google)
    undelete(google, account)
    assert google.ask("GET", OBJECTS, token=issue_token(google, MEMBER)).status == 200


def test_key_of_cloud_kms_is_not_inherited(google: Google, account: str) -> None:
    """A signing key's policy follows deletion and undeletion too."""
    google.cloud.state.crypto_keys[KEY].policy.allow("roles/cloudkms.signerVerifier", MEMBER)
    public_key = f"/v1/{KEY}/cryptoKeyVersions/1/publicKey"
    assert google.ask("GET", public_key, token=issue_token(google, MEMBER)).status == 200
    delete(google)
    create(google)

    assert google.ask("GET", public_key, token=issue_token(google, MEMBER)).status == 403


def test_exemption_from_the_audit_log_is_not_inherited(google: Google, account: str) -> None:
    """An audit configuration exempts the account, and not the next one of its name."""
    logs = [{"logType": "DATA_READ", "exemptedMembers": [MEMBER]}]
    policy = {"auditConfigs": [{"service": "storage.googleapis.com", "auditLogConfigs": logs}]}
    body = {"policy": policy, "updateMask": "auditConfigs"}
    assert admin(google, "POST", "/v1/projects/my-project:setIamPolicy", body).status == 200

    def list_objects() -> int:
        google.ask("GET", OBJECTS, token=issue_token(google, MEMBER))
        entries = admin(google, "POST", "/v2/entries:list", {
            "resourceNames": ["projects/my-project"], "filter": 'protoPayload.methodName="storage.objects.list"'
        }).document.get("entries", [])  # fmt: skip
        return len(entries)

    before = list_objects()
    delete(google)
    create(google)

    assert (before, list_objects()) == (0, 1)
    config = admin(google, "POST", "/v1/projects/my-project:getIamPolicy", {}).document["auditConfigs"][0]
    assert config["auditLogConfigs"][0]["exemptedMembers"] == [deleted(account)]
    wrong = {"policy": {"auditConfigs": [{**policy["auditConfigs"][0], "auditLogConfigs": [
        {"logType": "DATA_READ", "exemptedMembers": [{}]}
    ]}]}, "updateMask": "auditConfigs"}  # fmt: skip
    assert admin(google, "POST", "/v1/projects/my-project:setIamPolicy", wrong).status == 400


def test_seed_does_not_revive_a_grant(google: Google, account: str) -> None:
    """A seed that is applied again after a deletion grants its roles to the account that it knew."""
    seed = {"buckets": {"data": {POLICIES["bucket"][1]: [MEMBER]}}, "groups": {"team@example.com": [MEMBER]}}
    apply_seed(google.cloud.state, seed)
    delete(google)

    apply_seed(google.cloud.state, seed)
    create(google)

    assert list_members(google, "bucket") == [deleted(account)]
    assert google.cloud.state.groups["team@example.com"] == {deleted(account)}


def test_restart_restores_every_account_of_a_name(google: Google, tmp_path: Path, load_cloud: LoadCloud) -> None:
    """A deleted account whose e-mail was used again survives a restart, and so do its grants."""
    google.cloud = load_cloud(tmp_path)
    google.cloud.state.run_policies["projects/my-project/x"] = google.cloud.state.projects["my-project"].policy
    google.cloud.state.buckets["data"] = Bucket(project="my-project", created=0.0)
    first = create(google)
    write_policy(google, "bucket", MEMBER)
    delete(google)
    create(google)

    google.cloud = load_cloud(tmp_path)

    assert list_members(google, "bucket") == [deleted(first)]
    assert google.cloud.state.run_policies == {
        "projects/my-project/x": google.cloud.state.projects["my-project"].policy
    }
    delete(google)
    assert undelete(google, first) == 200
    assert list_members(google, "bucket") == [MEMBER]
