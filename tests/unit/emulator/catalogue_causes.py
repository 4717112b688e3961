"""Requests for those refusals of Google's catalogue that need more than one request."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from refresher.emulator.errors import sts_refusal
from refresher.emulator.state import Provider
from tests.unit.emulator.conftest import (
    ALICE,
    ISSUER,
    NUMBER,
    POOL,
    SCOPE,
    Google,
    Issuer,
    principal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.emulator.http import Reply

    Cause = Callable[[Google, Issuer], Reply]

POOLS = "/v1/projects/my-project/locations/global/workloadIdentityPools"
DEVICES = "https://developers.google.com/identity/sign-in/web/devconsole-project."
UNAUTHENTICATED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    f"authentication credential. See {DEVICES}"
)
ADMINISTRATOR = "anything"


def pattern(text: str) -> str:
    """Turn a text of the guide into a pattern; words in italics match anything."""
    return ".+".join(re.escape(part) for part in re.split(r"\*[A-Z_ ]+\*", text))


def federated_token(google: Google, issuer: Issuer) -> str:
    """Return a token of `user-1`, who may act as alice."""
    google.cloud.state.allow(ALICE, principal("user-1"))
    return str(google.exchange(issuer.token()).document["access_token"])


def account_token(google: Google, issuer: Issuer) -> str:
    """Return an access token of alice."""
    return str(google.impersonate(ALICE, federated_token(google, issuer)).document["accessToken"])


def settings(google: Google) -> Provider:
    """Return the provider."""
    return google.cloud.state.pools[POOL].providers["refresher"]


def condition(google: Google, issuer: Issuer) -> Reply:
    """Exchange a token that the condition refuses."""
    settings(google).condition = "assertion.sub == 'somebody-else'"
    return google.exchange(issuer.token())


def quota(google: Google, issuer: Issuer) -> Reply:
    """Exchange once more than a minute's quota allows."""
    google.cloud.quotas.enabled = True
    google.cloud.quotas.limits["sts.googleapis.com/requests"] = 1
    google.exchange(issuer.token())
    return google.exchange(issuer.token())


def aws(google: Google, _: Issuer) -> Reply:
    """Send a text that is not an AWS request to an AWS provider."""
    google.cloud.state.pools[POOL].providers["refresher"] = Provider(kind="aws", settings={"accountId": "1"})
    return google.exchange("rubbish", subject_token_type="urn:ietf:params:aws:token-type:aws4_request")


def perimeter(google: Google, issuer: Issuer) -> Reply:
    """Exchange from outside a service perimeter."""
    google.cloud.state.projects["my-project"].perimeter.add("sts.googleapis.com")
    return google.exchange(issuer.token())


def mismatch(google: Google, issuer: Issuer) -> Reply:
    """Exchange a token whose issuer publishes a discovery document of another one."""
    settings(google).jwks = None
    google.cloud.discover = lambda _issuer: sts_refusal("E19")
    return google.exchange(issuer.token())


def older_text(google: Google, issuer: Issuer, entry: str) -> Reply:
    """Ask for an older text, which only a fault sends."""
    google.cloud.faults.add("iamcredentials.generateAccessToken", refusal=entry)
    return google.impersonate(ALICE, federated_token(google, issuer))


def narrow(google: Google, issuer: Issuer) -> Reply:
    """Impersonate with a token whose scope does not suffice."""
    google.cloud.state.allow(ALICE, principal("user-1"))
    token = google.exchange(issuer.token(), scope="openid").document["access_token"]
    return google.impersonate(ALICE, token)


def deleted(google: Google, issuer: Issuer) -> Reply:
    """Impersonate a deleted account."""
    token = federated_token(google, issuer)
    google.ask("DELETE", f"/v1/projects/my-project/serviceAccounts/{ALICE}", token=ADMINISTRATOR)
    return google.impersonate(ALICE, token)


def quota_project(google: Google, issuer: Issuer) -> Reply:
    """Impersonate with a quota project that the caller may not use."""
    return google.ask(
        "POST",
        f"/v1/projects/-/serviceAccounts/{ALICE}:generateAccessToken",
        document={"scope": [SCOPE]},
        token=federated_token(google, issuer),
        headers={"x-goog-user-project": "my-project"},
    )


def create(google: Google, **body: Any) -> Reply:  # noqa: ANN401 - any JSON
    """Create a provider, a valid one except for these settings."""
    usual = {"attributeMapping": {"google.subject": "assertion.sub"}, "oidc": {"issuerUri": ISSUER}}
    return google.ask(
        "POST",
        f"{POOLS}/workers/providers",
        query={"workloadIdentityPoolProviderId": "another"},
        document={**usual, **body},
        token=ADMINISTRATOR,
    )


def with_key(google: Google, key: dict[str, Any]) -> Reply:
    """Create a provider with an uploaded key."""
    return create(google, oidc={"issuerUri": ISSUER, "jwksJson": json.dumps({"keys": [key]})})


def org_policy(google: Google, _: Issuer) -> Reply:
    """Create a provider with an issuer that the organisation does not allow."""
    google.ask(
        "POST",
        "/v2/projects/my-project/policies",
        document={
            "name": f"projects/{NUMBER}/policies/iam.workloadIdentityPoolProviders",
            "spec": {"rules": [{"values": {"allowedValues": ["https://other.example"]}}]},
        },
        token=ADMINISTRATOR,
    )
    return create(google)


def recreate(google: Google, _: Issuer) -> Reply:
    """Create a pool with the id of a pool that was deleted a day ago."""
    google.ask("DELETE", f"{POOLS}/workers", token=ADMINISTRATOR)
    return google.ask("POST", POOLS, query={"workloadIdentityPoolId": "workers"}, document={}, token=ADMINISTRATOR)


def bind(google: Google, member: str) -> Reply:
    """Bind a member to alice."""
    google.cloud.state.add_service_account(ALICE)
    binding = {"role": "roles/iam.workloadIdentityUser", "members": [member]}
    return google.ask(
        "POST",
        f"/v1/projects/my-project/serviceAccounts/{ALICE}:setIamPolicy",
        document={"policy": {"bindings": [binding]}},
        token=ADMINISTRATOR,
    )


def not_allowed(google: Google, issuer: Issuer) -> Reply:
    """Create a pool without the permission."""
    return google.ask(
        "POST", POOLS, query={"workloadIdentityPoolId": "pool-two"}, document={}, token=account_token(google, issuer)
    )
