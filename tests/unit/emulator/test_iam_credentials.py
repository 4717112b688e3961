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


def refusal_of(reply: Reply) -> tuple[int, str, str]:
    """Give status, code and text of an error in the shape of google.rpc.Status."""
    error = reply.document["error"]
    assert error["code"] == reply.status
    return reply.status, error["status"], error["message"]


def denied(permission: str) -> tuple[int, str, str]:
    """Give what Google says when a permission on a service account is missing."""
    return 403, "PERMISSION_DENIED", f"Permission '{permission}' denied on resource (or it may not exist)."


def claims_of(token: str) -> dict[str, Any]:
    """Read the claims of a JWT."""
    segment = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return claims


def test_impersonates(google: Google, federated: str) -> None:
    """Whoever is bound to an account gets a token of it, with an end in whole seconds and Z."""
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
def test_grants_the_lifetime_asked_for(google: Google, federated: str, lifetime: str | None, seconds: int) -> None:
    """Any duration up to an hour is granted, fractions too; none means an hour."""
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
def test_refuses_other_lifetimes(google: Google, federated: str, lifetime: object, text: str) -> None:
    """I8 and I9: zero and more than an hour are refused in Google's words."""
    assert refusal_of(google.impersonate(ALICE, federated, lifetime=lifetime)) == (400, "INVALID_ARGUMENT", text)


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
def test_needs_scopes(google: Google, federated: str, scope: object) -> None:
    """I6: without a usable scope the request is an invalid argument."""
    assert refusal_of(google.impersonate(ALICE, federated, scope=scope)) == (
        400,
        "INVALID_ARGUMENT",
        "Request contains an invalid argument.",
    )


def test_takes_scopes_as_text(google: Google, federated: str) -> None:
    """PHP sends the scope as one text."""
    assert google.impersonate(ALICE, federated, scope=f"{SCOPE} openid").status == 200


@pytest.mark.parametrize("account", [BOB, "nobody@my-project.iam.gserviceaccount.com", "1234567890"])
def test_refuses_who_is_not_bound(google: Google, federated: str, account: str) -> None:
    """I1: without a binding for exactly this principal access is denied, whether or not the account exists."""
    google.cloud.state.add_service_account(BOB)

    reply = google.impersonate(account, federated)

    assert refusal_of(reply) == denied("iam.serviceAccounts.getAccessToken")
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
def test_compares_members_exactly(google: Google, federated: str, member: str, status: int) -> None:
    """A member is exactly one subject or the whole pool, never a prefix."""
    google.cloud.state.allow(BOB, member)

    assert google.impersonate(BOB, federated).status == status


def test_takes_the_unique_id(google: Google, federated: str) -> None:
    """An account may be named by its unique id."""
    unique_id = google.cloud.state.service_accounts[ALICE].unique_id

    reply = google.impersonate(unique_id, federated)

    assert google.whoami(reply.document["accessToken"])["service_account"] == ALICE


def test_tells_that_a_user_is_no_account(google: Google, federated: str) -> None:
    """I5: what is no service account's name is not found."""
    assert refusal_of(google.impersonate("alice@example.com", federated)) == (
        404,
        "NOT_FOUND",
        "Requested entity was not found.",
    )


@pytest.mark.parametrize("token", [None, "ya29.forged", "garbage", ""])
def test_needs_a_token_of_its_own(google: Google, federated: str, token: str | None) -> None:
    """I10: only tokens that this cloud issued and that are not over count."""
    reply = google.impersonate(ALICE, token)

    assert refusal_of(reply)[:2] == (401, "UNAUTHENTICATED")
    assert "authentication credential" in refusal_of(reply)[2]
    assert federated


def test_refuses_an_expired_token(google: Google, federated: str) -> None:
    """I10: a federated token that is over is not accepted."""
    google.clock.pass_(timedelta(hours=1))

    assert google.impersonate(ALICE, federated).status == 401


def test_needs_a_sufficient_scope(google: Google, federated: str, issuer: Issuer) -> None:
    """I3: the caller's token needs the cloud-platform or the iam scope."""
    narrow, iam = (
        google.exchange(issuer.token(), scope=scope).document["access_token"]
        for scope in ("https://www.googleapis.com/auth/devstorage.read_only", "https://www.googleapis.com/auth/iam")
    )

    reply = google.impersonate(ALICE, narrow)

    assert refusal_of(reply) == (403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
    assert reply.document["error"]["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    assert google.impersonate(ALICE, iam).status == 200
    assert federated


def test_walks_the_chain_of_delegates(google: Google, federated: str) -> None:
    """With delegates each needs implicit delegation on the next, and the last the permission on the target."""
    google.cloud.state.allow(ALICE, principal("user-1"), TOKEN_CREATOR)
    google.cloud.state.allow(BOB, f"serviceAccount:{ALICE}", TOKEN_CREATOR)
    carol = "carol@my-project.iam.gserviceaccount.com"
    google.cloud.state.allow(carol, f"serviceAccount:{BOB}", TOKEN_CREATOR)
    names = [f"projects/-/serviceAccounts/{name}" for name in (ALICE, BOB)]

    assert google.impersonate(carol, federated, delegates=names).status == 200
    assert google.impersonate(carol, federated, delegates=names[:1]).status == 403
    assert google.impersonate(carol, federated, delegates=names[::-1]).status == 403
    assert google.impersonate(carol, federated).status == 403


def test_workload_identity_user_does_not_delegate(google: Google, federated: str) -> None:
    """The role workloadIdentityUser gives tokens and not implicit delegation."""
    google.cloud.state.allow(BOB, f"serviceAccount:{ALICE}", TOKEN_CREATOR)

    reply = google.impersonate(BOB, federated, delegates=[f"projects/-/serviceAccounts/{ALICE}"])

    assert refusal_of(reply) == denied("iam.serviceAccounts.implicitDelegation")


@pytest.mark.parametrize("method", ["generateAccessToken", "generateIdToken", "signJwt", "signBlob"])
def test_names_no_project(google: Google, federated: str, method: str) -> None:
    """I6: the account is named under the wildcard `projects/-`; a project in its place is an invalid argument."""
    token = google.impersonate(ALICE, federated).document["accessToken"]
    google.cloud.state.allow(ALICE, f"serviceAccount:{ALICE}", TOKEN_CREATOR)
    body = {"scope": [SCOPE], "audience": "a", "payload": "{}" if method == "signJwt" else "YQ=="}

    def ask(project: str) -> Reply:
        path = f"/v1/projects/{project}/serviceAccounts/{ALICE}:{method}"
        return google.ask("POST", path, document=body, token=token)

    assert ask("-").status == 200
    for project in ("my-project", "123456789012"):
        assert refusal_of(ask(project)) == (400, "INVALID_ARGUMENT", "Request contains an invalid argument.")


@pytest.mark.parametrize(
    "name", [ALICE, f"serviceAccounts/{ALICE}", f"projects/my-project/serviceAccounts/{ALICE}", ""]
)
def test_takes_delegates_by_their_resource_names_alone(google: Google, federated: str, name: str) -> None:
    """I6: a delegate is named as `projects/-/serviceAccounts/NAME` and in no other way."""
    google.cloud.state.allow(ALICE, principal("user-1"), TOKEN_CREATOR)
    google.cloud.state.allow(BOB, f"serviceAccount:{ALICE}", TOKEN_CREATOR)

    assert google.impersonate(BOB, federated, delegates=[f"projects/-/serviceAccounts/{ALICE}"]).status == 200
    assert google.impersonate(BOB, federated, delegates=[name]).status == 400


@pytest.mark.parametrize("delegates", [None, []])
def test_takes_absent_delegates_in_any_form(google: Google, federated: str, delegates: object) -> None:
    """Python sends null and Java an empty list."""
    assert google.impersonate(ALICE, federated, delegates=delegates).status == 200


def test_gives_id_tokens(google: Google, federated: str) -> None:
    """An ID token is for the audience asked for, lives an hour and names the account only on request."""
    plain = claims_of(google.iam(ALICE, "generateIdToken", federated, audience="https://run").document["token"])
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
    assert claims_of(named) | {"email": ALICE, "email_verified": True} == claims_of(named)


def test_id_token_creators_get_id_tokens_only(google: Google, federated: str) -> None:
    """The role serviceAccountOpenIdTokenCreator gives ID tokens and no access tokens."""
    google.cloud.state.allow(BOB, principal("user-1"), OPEN_ID_TOKEN_CREATOR)

    assert google.iam(BOB, "generateIdToken", federated, audience="a").status == 200
    assert google.impersonate(BOB, federated).status == 403


def test_id_tokens_need_an_audience(google: Google, federated: str) -> None:
    """I6: an ID token without an audience is an invalid argument."""
    assert google.iam(ALICE, "generateIdToken", federated).status == 400


def test_has_no_regional_access_boundary(google: Google, federated: str) -> None:
    """The look-up that google-auth makes in the background finds no restriction, for those who may look."""
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
def test_shows_boundaries_to_those_who_may(google: Google, federated: str, path: str, permission: str) -> None:
    """Whoever may not see an account or pool may not see where it may be used from; nobody is asked for a token."""
    google.cloud.state.add_service_account(BOB)

    reply = google.ask("GET", f"/v1/{path}/allowedLocations", token=federated)

    assert reply.status == 403
    assert f"Permission '{permission}' denied on resource" in reply.document["error"]["message"]
    assert google.ask("GET", f"/v1/{path}/allowedLocations").status == 401
    assert google.ask("GET", f"/v1/{path}/allowedLocations", token="anything").status == 401


def test_notes_who_became_whom(google: Google, federated: str) -> None:
    """The journal tells which principal asked for which account."""
    google.impersonate(ALICE, federated)

    facts = google.cloud.journal.entries("generateAccessToken")[-1].facts
    assert facts == {"principal": principal("user-1"), "service_account": ALICE}
