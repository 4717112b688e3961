from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.state import KEPT_AFTER_DELETION
from tests.unit.emulator.conftest import ALICE, BOB, Google, principal
from tests.unit.emulator.storage_calls import OBJECTS, issue_token, put

if TYPE_CHECKING:
    from refresher.emulator.http import Reply

ACCOUNTS = "/v1/projects/my-project/serviceAccounts"
ACCOUNT = f"{ACCOUNTS}/{ALICE}"


def admin(google: Google, method: str, path: str, document: Any = None) -> Reply:  # noqa: ANN401 - JSON
    """Send a request as the administrator."""
    return google.ask(method, path, document=document, token="anything")


@pytest.fixture
def account(google: Google) -> dict[str, Any]:
    """Create alice through the API and return the answer."""
    body = {"accountId": "alice-1", "serviceAccount": {"displayName": "Alice", "description": "of a user"}}
    made: dict[str, Any] = admin(google, "POST", ACCOUNTS, body).document
    return made


def test_account_is_created_and_shown(google: Google, account: dict[str, Any]) -> None:
    """The answer has all that Terraform reads; the account is found by e-mail, by unique id and below any project."""
    assert account["name"] == f"projects/my-project/serviceAccounts/{account['email']}"
    assert (account["projectId"], account["displayName"], len(account["uniqueId"])) == ("my-project", "Alice", 21)
    for path in (
        f"{ACCOUNTS}/{account['email']}",
        f"{ACCOUNTS}/{account['uniqueId']}",
        f"/v1/projects/-/serviceAccounts/{account['email'].replace('@', '%40')}",
        f"/v1/projects/123456789012/serviceAccounts/{account['email']}",
    ):
        assert admin(google, "GET", path).document == account
    assert admin(google, "GET", ACCOUNTS).document == {"accounts": [account]}


@pytest.mark.parametrize("account_id", ["", "short", "a" * 31, "1alice", "Alice-1", "alice-"])
def test_invalid_ids_are_refused(google: Google, account_id: str) -> None:
    """An id has 6 to 30 characters `[-a-z0-9]`, begins with a letter and does not end with a dash."""
    assert admin(google, "POST", ACCOUNTS, {"accountId": account_id}).status == 400


def test_existing_account_is_refused(google: Google, account: dict[str, Any]) -> None:
    """A second account of the same id is refused with 409."""
    reply = admin(google, "POST", ACCOUNTS, {"accountId": "alice-1"})

    assert reply.status == 409
    assert "Service account alice-1 already exists within project projects/my-project." in str(reply.document)


def test_update_changes_the_fields_of_the_mask(google: Google, account: dict[str, Any]) -> None:
    """A masked field that is absent is cleared; an old etag is refused."""
    path = f"{ACCOUNTS}/{account['email']}"
    body = {"serviceAccount": {"etag": account["etag"], "displayName": "New"}, "updateMask": "description,display_name"}

    changed = admin(google, "PATCH", path, body)

    assert (changed.document["displayName"], changed.document.get("description")) == ("New", None)
    assert (admin(google, "PATCH", path, body).status, admin(google, "PUT", path, account).status) == (409, 409)
    assert admin(google, "PUT", path, {"displayName": "Newer"}).document["displayName"] == "Newer"
    assert admin(google, "PUT", path, {"displayName": "x" * 101}).status == 400


def test_disabled_account_cannot_be_used(google: Google, federated: str) -> None:
    """I4: while an account is disabled no one gets its tokens; enabling it is enough to use it again."""
    admin(google, "POST", f"{ACCOUNT}:disable", {})
    refused = google.impersonate(ALICE, federated)
    shown = admin(google, "GET", ACCOUNT).document

    admin(google, "POST", f"{ACCOUNT}:enable", {})

    assert (refused.status, shown["disabled"]) == (404, True)
    assert google.impersonate(ALICE, federated).status == 200


@pytest.mark.parametrize(
    ("method", "path", "back"),
    [("POST", f"{ACCOUNT}:disable", ":enable"), ("DELETE", ACCOUNT, ":undelete")],
    ids=["disabled", "deleted"],
)
def test_tokens_of_an_unusable_account_are_void(google: Google, writer: str, method: str, path: str, back: str) -> None:
    """I10: the tokens of a disabled or deleted account are refused everywhere until it is usable again."""
    google.cloud.state.allow(BOB, f"serviceAccount:{ALICE}", "roles/iam.serviceAccountTokenCreator")
    put(google, writer, "a")
    unique_id = google.cloud.state.add_service_account(ALICE).unique_id

    def asked() -> list[int]:
        return [
            google.ask("GET", f"{OBJECTS}/a", token=writer).status,
            google.impersonate(BOB, writer).status,
            google.ask("GET", ACCOUNTS, token=writer).status,
            google.ask("GET", "/tokeninfo", query={"access_token": writer}).status,
        ]

    before = asked()
    admin(google, method, path, {})
    refused = asked()
    admin(google, "POST", f"{ACCOUNTS}/{unique_id}{back}", {})

    assert before == [200, 200, 403, 200]
    assert refused == [401, 401, 401, 400]
    assert asked() == before


def test_deleted_account_is_restored_by_its_id(google: Google, federated: str) -> None:
    """For 30 days the unique id restores the account and its bindings."""
    unique_id = admin(google, "GET", ACCOUNT).document["uniqueId"]
    admin(google, "DELETE", ACCOUNT)

    assert google.impersonate(ALICE, federated).status == 404
    assert (admin(google, "GET", ACCOUNT).status, admin(google, "GET", ACCOUNTS).document) == (404, {})

    restored = admin(google, "POST", f"{ACCOUNTS}/{unique_id}:undelete", {})
    assert restored.document["restoredAccount"]["email"] == ALICE
    assert google.impersonate(ALICE, federated).status == 200
    assert admin(google, "POST", f"{ACCOUNTS}/{unique_id}:undelete", {}).status == 404


def test_deleted_account_is_gone_after_thirty_days(google: Google, federated: str) -> None:
    """After that it cannot be restored."""
    unique_id = admin(google, "GET", ACCOUNT).document["uniqueId"]
    admin(google, "DELETE", ACCOUNT)
    google.clock.pass_(timedelta(seconds=KEPT_AFTER_DELETION))

    assert admin(google, "POST", f"{ACCOUNTS}/{unique_id}:undelete", {}).status == 404


def test_new_account_of_an_old_name_is_another_account(google: Google, account: dict[str, Any], federated: str) -> None:
    """It has another id, and none of the old bindings."""
    email = account["email"]
    google.cloud.state.allow(email, principal("user-1"))
    assert google.impersonate(email, federated).status == 200
    admin(google, "DELETE", f"{ACCOUNTS}/{email}")

    made = admin(google, "POST", ACCOUNTS, {"accountId": "alice-1"}).document

    assert made["uniqueId"] != account["uniqueId"]
    assert google.impersonate(email, federated).status == 403


def test_old_tokens_are_void_for_a_new_account(google: Google, account: dict[str, Any], federated: str) -> None:
    """I10: tokens of a deleted account stay void when a new account has its name, however they were obtained."""
    email = account["email"]
    google.cloud.state.allow(email, principal("user-1"))
    google.cloud.state.metadata_account = email
    metadata = "/computeMetadata/v1/instance/service-accounts/default/token"

    def machines_token() -> str:
        token: str = google.ask("GET", metadata, headers={"Metadata-Flavor": "Google"}).document["access_token"]
        return token

    def status(token: str) -> int:
        return google.ask("GET", "/emulator/whoami", token=token).status

    impersonated = google.impersonate(email, federated).document["accessToken"]
    tokens = [impersonated, machines_token(), issue_token(google, f"serviceAccount:{email}")]
    before = [status(token) for token in tokens]
    admin(google, "DELETE", f"{ACCOUNTS}/{email}")
    admin(google, "POST", ACCOUNTS, {"accountId": "alice-1"})

    assert before == [200, 200, 200]
    assert [status(token) for token in tokens] == [401, 401, 401]
    assert status(machines_token()) == 200


def test_policy_is_read_and_replaced(google: Google, federated: str) -> None:
    """A policy without bindings removes all, and an old etag is a conflict."""
    before = google.ask("POST", f"{ACCOUNT}:getIamPolicy", token="anything").document

    emptied = admin(google, "POST", f"{ACCOUNT}:setIamPolicy", {"policy": {"etag": before["etag"], "version": 3}})

    assert before["bindings"] == [{"role": "roles/iam.workloadIdentityUser", "members": [principal("user-1")]}]
    assert emptied.document == {"etag": "ACAB"}
    assert google.impersonate(ALICE, federated).status == 403
    conflict = admin(google, "POST", f"{ACCOUNT}:setIamPolicy", {"policy": before})
    assert (conflict.status, conflict.document["error"]["status"]) == (409, "ABORTED")
    assert "concurrent policy changes" in conflict.document["error"]["message"]


def test_caller_sees_his_permissions(google: Google, federated: str) -> None:
    """`testIamPermissions` returns those of the requested permissions that the caller has."""
    asked = ["iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.signJwt"]

    reply = google.ask("POST", f"{ACCOUNT}:testIamPermissions", document={"permissions": asked}, token=federated)

    assert reply.document == {"permissions": asked[:1]}
    assert (
        admin(google, "POST", f"{ACCOUNT}:testIamPermissions", {"permissions": asked}).document["permissions"] == asked
    )
