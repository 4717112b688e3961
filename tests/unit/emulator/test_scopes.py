"""Scopes have Google's form in every place that takes one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.emulator.conftest import ACCESS_TOKEN_TYPE, ALICE, SCOPE

if TYPE_CHECKING:
    from tests.unit.emulator.conftest import Google, Issuer

READ_WRITE = "https://www.googleapis.com/auth/devstorage.read_write"
VALID = [
    SCOPE,
    "https://www.googleapis.com/auth/iam",
    "openid",
    "email",
    "profile",
    "openid email profile",
    "https://www.googleapis.com/auth/userinfo.email",
    f"{SCOPE} {READ_WRITE}",
    f" {SCOPE}  openid ",
    "https://mail.google.com/",
    "https://www.google.com/m8/feeds/",
    "https://apps-apis.google.com/a/feeds/groups/",
]
INVALID = [
    " ".join(READ_WRITE),
    "devstorage.read_write",
    "cloud-platform",
    f"{SCOPE},{READ_WRITE}",
    f"{SCOPE}, {READ_WRITE}",
    f"{SCOPE}\n{READ_WRITE}",
    f"{SCOPE}\t{READ_WRITE}",
    f"{SCOPE} devstorage.read_write",
    "https://example.com/x",
    "https://svc-abc123-ew.a.run.app",
    "https://googleapis.com.example.com/auth/iam",
    "https://example-googleapis.com/auth/iam",
    "https://-.google.com/x",
    "http://www.googleapis.com/auth/iam",
    "https:// www.googleapis.com/auth/iam",
    "OPENID",
    "https://www.googleapis.com/auth/clöud",
    '["openid"]',
    "None",
]


@pytest.mark.parametrize("scope", VALID)
def test_scopes_of_googles_form_are_exchanged(google: Google, issuer: Issuer, scope: str) -> None:
    """Addresses at Google and the scopes of OpenID Connect are accepted, with spaces between them."""
    reply = google.exchange(issuer.token(), scope=scope)

    assert reply.status == 200
    assert google.whoami(reply.document["access_token"])["scopes"] == scope.split()


@pytest.mark.parametrize("scope", INVALID)
def test_other_scopes_are_refused(google: Google, issuer: Issuer, scope: str) -> None:
    """`invalid_scope`, as at Google, for a scope joined letter by letter, a short name, a comma or a foreign host."""
    reply = google.exchange(issuer.token(), scope=scope)

    assert (reply.status, reply.document["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize("scope", INVALID)
def test_other_scopes_are_refused_in_json(google: Google, issuer: Issuer, scope: str) -> None:
    """A JSON body is read in the same way, and so is the scope of a downscoped token."""
    token = google.exchange(issuer.token()).document["access_token"]
    rule = {
        "availableResource": "//storage.googleapis.com/projects/_/buckets/data",
        "availablePermissions": ["inRole:roles/storage.objectViewer"],
    }
    options = json.dumps({"accessBoundary": {"accessBoundaryRules": [rule]}})
    body = {
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requestedTokenType": ACCESS_TOKEN_TYPE,
        "subjectToken": token,
        "subjectTokenType": ACCESS_TOKEN_TYPE,
        "options": options,
    }

    assert google.ask("POST", "/v1/token", document=body).status == 200
    reply = google.ask("POST", "/v1/token", document={**body, "scope": scope})
    assert (reply.status, reply.document["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize("scope", [scope for scope in INVALID if " " not in scope])
def test_other_scopes_are_refused_by_impersonation(google: Google, federated: str, scope: str) -> None:
    """I6: IAM Credentials refuses the same scopes, with its own text."""
    assert google.impersonate(ALICE, federated, scope=[SCOPE]).status == 200
    assert google.impersonate(ALICE, federated, scope=[scope]).status == 400
