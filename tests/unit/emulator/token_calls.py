"""Requests to the token endpoint that several tests use."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jwt

from refresher.emulator.oauth2.token import TOKEN_URL
from tests.unit.emulator.catalogue_causes import pattern
from tests.unit.emulator.conftest import ALICE, NOW_SECONDS, SCOPE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from refresher.emulator.http import Reply
    from tests.unit.emulator.conftest import Google

CAROL = "carol@example.com"
USER: dict[str, Any] = {"client_id": "c.apps.googleusercontent.com", "client_secret": "s", "refresh_token": "1//r"}
ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ERRORS = {
    "O1": (400, "invalid_grant", "Bad Request"),
    "O2": (400, "invalid_grant", "Token has been expired or revoked."),
    "O3": (401, "invalid_client", "The OAuth client was not found."),
    "O4": (401, "invalid_client", "The provided client secret is invalid."),
    "O5": (400, "invalid_request", "Could not determine client ID from request."),
    "O6": (400, "invalid_request", "client_secret is missing."),
    "O7": (400, "invalid_grant", "Invalid JWT Signature."),
    "O8": (400, "invalid_grant", "Invalid grant: account not found"),
    "O9": (
        400,
        "invalid_grant",
        (
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat "
            "and exp values in the JWT claim."
        ),
    ),
    "O10": (400, "invalid_grant", f"Invalid JWT: Failed audience check. The right audience is {TOKEN_URL}"),
    "O11": (400, "invalid_scope", "Invalid OAuth scope or ID token audience provided."),
    "O12": (400, "invalid_scope", "*SCOPE* is not a valid audience string."),
    "O13": (
        401,
        "unauthorized_client",
        (
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of "
            "the scopes requested."
        ),
    ),
    "O14": (400, "invalid_grant", "Not a valid email or user ID."),
    "O15": (400, "unsupported_grant_type", "Invalid grant_type: *GRANT*"),
}
"""Status, code and text of each error of the endpoint; the words in italics vary."""

CREATOR = "roles/iam.serviceAccountTokenCreator"


def post(google: Google, path: str = "/token", **fields: str) -> Reply:
    """Send a form to the token endpoint."""
    headers = {"content-type": "application/x-www-form-urlencoded", "host": "127.0.0.1:8080"}
    return google.ask("POST", path, body=urlencode(fields).encode(), headers=headers)


def read_refusal(google: Google, reply: Reply) -> str | None:
    """Return the id of a refusal and check its text against the table; None if nothing was refused."""
    entry = google.cloud.journal.entries()[-1].refusal
    if entry in ERRORS:
        status, code, text = ERRORS[entry]
        assert (reply.status, reply.document["error"]) == (status, code)
        assert set(reply.document) == {"error", "error_description"}
        assert re.fullmatch(pattern(text), reply.document["error_description"])
    return entry


def refresh(google: Google, **fields: str) -> Reply:
    """Use carol's refresh token, with these fields changed; an empty one is left out."""
    sent = {"grant_type": "refresh_token", **USER, **fields}
    return post(google, **{name: value for name, value in sent.items() if value})


def sign(private: rsa.RSAPrivateKey, *, kid: str | None = None, **claims: Any) -> str:  # noqa: ANN401 - any claim
    """Sign an assertion of alice, with these claims changed; None leaves one out."""
    usual = {"iss": ALICE, "scope": SCOPE, "aud": TOKEN_URL, "iat": NOW_SECONDS, "exp": NOW_SECONDS + 3600}
    content = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    # as bytes, because PyJWT would refuse claims of a wrong type itself
    return jwt.api_jws.encode(json.dumps(content).encode(), private, "RS256", {"kid": kid} if kid else None)
