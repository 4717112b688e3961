from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.emulator.conftest import ALICE, BOB, NOW_SECONDS, POOL, SCOPE, Google, Issuer, principal

if TYPE_CHECKING:
    from refresher.emulator.http import Reply

TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator"
OPEN_ID_TOKEN_CREATOR = "roles/iam.serviceAccountOpenIdTokenCreator"


def read_refusal(reply: Reply) -> tuple[int, str, str]:
    """Return status, code and text of an error in the shape of google.rpc.Status."""
    error = reply.document["error"]
    assert error["code"] == reply.status
    return reply.status, error["status"], error["message"]


def denied(permission: str) -> tuple[int, str, str]:
    """Return Google's text for a missing permission on a service account."""
    return 403, "PERMISSION_DENIED", f"Permission '{permission}' denied on resource (or it may not exist)."


def read_claims(token: str) -> dict[str, Any]:
    """Read the claims of a JWT."""
    segment = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return claims


def test_access_token_is_issued_to_a_bound_principal(google: Google, federated: str) -> None:
    """A principal that is bound to an account gets its token, with an expiry in whole seconds and Z."""
    reply = google.impersonate(ALICE, federated)

    ends_at = datetime.fromtimestamp(NOW_SECONDS + 3600, UTC)
    assert reply.document["expireTime"] == f"{ends_at:%Y-%m-%dT%H:%M:%SZ}"
    assert google.whoami(reply.document["accessToken"]) == {
        "kind": "service_account",
        "service_account": ALICE,
        "principal": None,
        "scopes": [SCOPE],
        "expires_at": reply.document["expireTime"],
        "members": sorted(
            [
                "allAuthenticatedUsers",
                "allUsers",
                "domain:my-project.iam.gserviceaccount.com",
                f"serviceAccount:{ALICE}",
            ]
        ),
    }


@pytest.mark.parametrize(
    ("lifetime", "seconds"), [("1s", 1), ("1800s", 1800), ("3600s", 3600), ("1800.5s", 1800), (None, 3600)]
)
def test_requested_lifetime_is_granted(google: Google, federated: str, lifetime: str | None, seconds: int) -> None:
    """Any duration up to an hour is granted, fractions too; the default is an hour."""
    reply = google.impersonate(ALICE, federated, lifetime=lifetime)

    expected = datetime.fromtimestamp(NOW_SECONDS + seconds, UTC)
    assert reply.document["expireTime"] == f"{expected:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("lifetime", "text"),
    [
        ("0s", "Lifetime of access token must be larger then zero."),
        ("-1s", "Lifetime of access token must be larger then zero."),
        (
            "3601s",
            (
                "The requested access tokens can not have lifetimes of more than 1 hour. Use the Org Policy Constraint "
                "constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours."
            ),
        ),
        ("an hour", "Request contains an invalid argument."),
        (3600, "Request contains an invalid argument."),
    ],
)
def test_other_lifetimes_are_refused(google: Google, federated: str, lifetime: object, text: str) -> None:
    """I8 and I9: zero and more than an hour are refused with Google's texts."""
    assert read_refusal(google.impersonate(ALICE, federated, lifetime=lifetime)) == (400, "INVALID_ARGUMENT", text)


@pytest.mark.parametrize(
    "scope",
    [
        [],
        "",
        None,
        [""],
        [7],
        {"a": "b"},
        ["bogus"],
        ["cloud-platform"],
        [SCOPE, "bogus"],
        [f"{SCOPE} {SCOPE}"],
        ["https://googleapis.example/auth/cloud-platform"],
        ["http://www.googleapis.com/auth/cloud-platform"],
    ],
)
def test_scopes_are_required(google: Google, federated: str, scope: object) -> None:
    """I6: without a valid scope the request is an invalid argument."""
    assert read_refusal(google.impersonate(ALICE, federated, scope=scope)) == (
        400,
        "INVALID_ARGUMENT",
        "Request contains an invalid argument.",
    )


def test_scopes_can_be_a_text(google: Google, federated: str) -> None:
    """PHP sends the scope as one text."""
    assert google.impersonate(ALICE, federated, scope=f"{SCOPE} openid").status == 200


@pytest.mark.parametrize("account", [BOB, "nobody@my-project.iam.gserviceaccount.com", "1234567890"])
def test_principal_without_binding_is_refused(google: Google, federated: str, account: str) -> None:
    """I1: without a binding for exactly this principal access is denied, whether the account exists or not."""
    google.cloud.state.add_service_account(BOB)

    reply = google.impersonate(account, federated)

    assert read_refusal(reply) == denied("iam.serviceAccounts.getAccessToken")
    assert reply.document["error"]["details"][0]["reason"] == "IAM_PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("member", "status"),
    [
        (principal("user-1"), 200),
        (principal("user-10"), 403),
        (f"principalSet://iam.googleapis.com/{POOL}/*", 200),
        (f"principalSet://iam.googleapis.com/{POOL}/subject/user-1", 403),
        (f"principalSet://iam.googleapis.com/{POOL.replace('workers', 'others')}/*", 403),
    ],
)
def test_members_are_compared_exactly(google: Google, federated: str, member: str, status: int) -> None:
    """A member is exactly one subject or the whole pool, never a prefix."""
    google.cloud.state.allow(BOB, member)

    assert google.impersonate(BOB, federated).status == status


def test_account_is_found_by_unique_id(google: Google, federated: str) -> None:
    """A request can contain the unique id of an account instead of its e-mail."""
    unique_id = google.cloud.state.service_accounts[ALICE].unique_id

    reply = google.impersonate(unique_id, federated)

    assert google.whoami(reply.document["accessToken"])["service_account"] == ALICE


def test_user_is_not_an_account(google: Google, federated: str) -> None:
    """I5: a name that is not a service account is not found."""
    assert read_refusal(google.impersonate("alice@example.com", federated)) == (
        404,
        "NOT_FOUND",
        "Requested entity was not found.",
    )


@pytest.mark.parametrize("token", [None, "ya29.forged", "garbage", ""])
def test_token_of_this_cloud_is_required(google: Google, federated: str, token: str | None) -> None:
    """I10: only tokens that this cloud issued and that have not expired are accepted."""
    reply = google.impersonate(ALICE, token)

    assert read_refusal(reply)[:2] == (401, "UNAUTHENTICATED")
    assert "authentication credential" in read_refusal(reply)[2]
    assert federated


def test_expired_token_is_refused(google: Google, federated: str) -> None:
    """I10: an expired federated token is not accepted."""
    google.clock.pass_(timedelta(hours=1))

    assert google.impersonate(ALICE, federated).status == 401


def test_sufficient_scope_is_required(google: Google, federated: str, issuer: Issuer) -> None:
    """I3: the caller's token needs the cloud-platform or the iam scope."""
    narrow, iam = (
        google.exchange(issuer.token(), scope=scope).document["access_token"]
        for scope in ("https://www.googleapis.com/auth/devstorage.read_only", "https://www.googleapis.com/auth/iam")
    )

    reply = google.impersonate(ALICE, narrow)

    assert read_refusal(reply) == (403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
    assert reply.document["error"]["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    assert google.impersonate(ALICE, iam).status == 200
    assert federated


@pytest.mark.parametrize("method", ["generateAccessToken", "generateIdToken", "signJwt", "signBlob"])
def test_account_is_below_the_wildcard_project(google: Google, federated: str, method: str) -> None:
    """I6: an account is below `projects/-`; a project in its place is an invalid argument."""
    token = google.impersonate(ALICE, federated).document["accessToken"]
    google.cloud.state.allow(ALICE, f"serviceAccount:{ALICE}", TOKEN_CREATOR)
    body = {"scope": [SCOPE], "audience": "a", "payload": "{}" if method == "signJwt" else "YQ=="}

    def ask(project: str) -> Reply:
        path = f"/v1/projects/{project}/serviceAccounts/{ALICE}:{method}"
        return google.ask("POST", path, document=body, token=token)

    assert ask("-").status == 200
    for project in ("my-project", "123456789012"):
        assert read_refusal(ask(project)) == (400, "INVALID_ARGUMENT", "Request contains an invalid argument.")


def test_id_tokens_are_issued(google: Google, federated: str) -> None:
    """An ID token has the requested audience, lives an hour, and contains the e-mail only on request."""
    plain = read_claims(google.iam(ALICE, "generateIdToken", federated, audience="https://run").document["token"])
    named = google.iam(ALICE, "generateIdToken", federated, audience="a", includeEmail=True).document["token"]

    unique_id = google.cloud.state.service_accounts[ALICE].unique_id
    assert plain == {
        "aud": "https://run",
        "azp": unique_id,
        "exp": NOW_SECONDS + 3600,
        "iat": NOW_SECONDS,
        "iss": "https://accounts.google.com",
        "sub": unique_id,
    }
    assert read_claims(named) | {"email": ALICE, "email_verified": True} == read_claims(named)


def test_id_token_creators_only_get_id_tokens(google: Google, federated: str) -> None:
    """The role serviceAccountOpenIdTokenCreator includes ID tokens and no access tokens."""
    google.cloud.state.allow(BOB, principal("user-1"), OPEN_ID_TOKEN_CREATOR)

    assert google.iam(BOB, "generateIdToken", federated, audience="a").status == 200
    assert google.impersonate(BOB, federated).status == 403


def test_id_tokens_need_an_audience(google: Google, federated: str) -> None:
    """I6: an ID token without an audience is an invalid argument."""
    assert google.iam(ALICE, "generateIdToken", federated).status == 400


def test_allowed_locations_are_unrestricted(google: Google, federated: str) -> None:
    """The background look-up of google-auth finds no restriction, for callers with the permission."""
    pool = f"/v1/{POOL}/allowedLocations"
    account = f"/v1/projects/-/serviceAccounts/{ALICE}/allowedLocations"
    assert google.ask("GET", account, token=federated).document == {"encodedLocations": "0x0"}
    assert google.ask("GET", pool, token=federated).status == 403

    google.cloud.state.projects["my-project"].policy.allow("roles/iam.workloadIdentityPoolViewer", principal("user-1"))
    assert google.ask("GET", pool, token=federated).document == {"encodedLocations": "0x0"}
    assert google.ask("GET", pool.replace("workers", "absent"), token=federated).status == 404


@pytest.mark.parametrize(
    ("path", "permission"),
    [
        (f"projects/-/serviceAccounts/{BOB}", "iam.serviceAccounts.get"),
        (f"projects/-/serviceAccounts/absent-{BOB}", "iam.serviceAccounts.get"),
        ("projects/999/locations/global/workloadIdentityPools/workers", "iam.workloadIdentityPools.get"),
        ("locations/global/workforcePools/people", "iam.workforcePools.get"),
    ],
)
def test_allowed_locations_need_the_permission(google: Google, federated: str, path: str, permission: str) -> None:
    """A caller that may not see an account or pool may not see its locations; a token is required, too."""
    google.cloud.state.add_service_account(BOB)

    reply = google.ask("GET", f"/v1/{path}/allowedLocations", token=federated)

    assert reply.status == 403
    assert f"Permission '{permission}' denied on resource" in reply.document["error"]["message"]
    assert google.ask("GET", f"/v1/{path}/allowedLocations").status == 401
    assert google.ask("GET", f"/v1/{path}/allowedLocations", token="anything").status == 401


def test_journal_shows_the_impersonation(google: Google, federated: str) -> None:
    """The journal has the principal and the account that it acted as."""
    google.impersonate(ALICE, federated)

    facts = google.cloud.journal.entries("generateAccessToken")[-1].facts
    assert facts == {"principal": principal("user-1"), "service_account": ALICE}
