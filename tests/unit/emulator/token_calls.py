"""Requests to the token endpoint that several tests use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jwt

from refresher.emulator.oauth2.token import TOKEN_URL
from tests.unit.emulator.conftest import ALICE, NOW_SECONDS, SCOPE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from refresher.emulator.http import Reply
    from tests.unit.emulator.conftest import Google

CAROL = "carol@example.com"
USER: dict[str, Any] = {"client_id": "c.apps.googleusercontent.com", "client_secret": "s", "refresh_token": "1//r"}
ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CREATOR = "roles/iam.serviceAccountTokenCreator"


def post(google: Google, path: str = "/token", **fields: str) -> Reply:
    """Send a form to the token endpoint."""
    headers = {"content-type": "application/x-www-form-urlencoded", "host": "127.0.0.1:8080"}
    return google.ask("POST", path, body=urlencode(fields).encode(), headers=headers)


def refresh(google: Google, **fields: str) -> Reply:
    """Use carol's refresh token, with these fields changed; an empty one is left out."""
    sent = {"grant_type": "refresh_token", **USER, **fields}
    return post(google, **{name: value for name, value in sent.items() if value})


def sign(private: rsa.RSAPrivateKey, *, kid: str | None = None, **claims: Any) -> str:  # noqa: ANN401 - any claim
    """Sign an assertion of alice, with these claims changed; None leaves one out."""
    usual = {"iss": ALICE, "scope": SCOPE, "aud": TOKEN_URL, "iat": NOW_SECONDS, "exp": NOW_SECONDS + 3600}
    content = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(content, private, algorithm="RS256", headers={"kid": kid} if kid else None)
