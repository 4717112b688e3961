"""`tokeninfo`, which describes an access token of a service account or a user, or an ID token.

Like the real service (measured), it does not accept federated tokens.
"""

from collections.abc import Mapping
from typing import Any

import jwt

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal
from refresher.emulator.http import Call, Reply, Route
from refresher.emulator.state import derive_unique_id
from refresher.emulator.tokens import GOOGLE_ISSUER, Bearer


def describe_token(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Describe a token."""
    fields = {**call.form(), **call.query}
    id_token = fields.get("id_token")
    if id_token:
        return Reply(document=_describe_id_token(cloud, id_token))
    bearer = cloud.recognise(fields.get("access_token") or call.bearer_token() or "")
    if bearer is None or bearer.kind not in ("service_account", "user"):
        raise _invalid()
    return Reply(document=_access_token(cloud, bearer))


def _access_token(cloud: Cloud, bearer: Bearer) -> dict[str, str]:
    """Describe an access token: its client is the account itself, or the client to which the user's token belongs."""
    account = cloud.state.find_service_account(bearer.name) if bearer.kind == "service_account" else None
    user = cloud.state.users.get(bearer.name) if bearer.kind == "user" else None
    client = account.unique_id if account is not None else user.client_id if user is not None else "emulator"
    return {
        "azp": client,
        "aud": client,
        **({"sub": derive_unique_id(bearer.name)} if bearer.kind == "user" else {}),
        "scope": " ".join(bearer.scopes),
        "exp": str(bearer.expires_at),
        "expires_in": str(int(bearer.expires_at - cloud.now())),
        "email": bearer.name,
        "email_verified": "true",
        "access_type": "online" if bearer.kind == "service_account" else "offline",
    }


def _describe_id_token(cloud: Cloud, token: str) -> dict[str, str]:
    try:
        claims = jwt.decode(
            token, cloud.vault.key.public_key(), algorithms=["RS256"], issuer=GOOGLE_ISSUER, options=_TIMES_ELSEWHERE
        )
        is_over = float(claims["exp"]) <= cloud.now()
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise _invalid() from None
    if is_over:
        raise _invalid()
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in claims.items()}


_TIMES_ELSEWHERE: Any = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
"""PyJWT doesn't check times: they are compared with the cloud's clock."""


def _invalid() -> Refusal:
    return Refusal(400, {"error": "invalid_token", "error_description": "Invalid Value"}, "tokeninfo")


ROUTES = tuple(
    Route("oauth2.tokeninfo", method, f"{version}/tokeninfo", describe_token)
    for method in ("GET", "POST")
    for version in ("", "/oauth2/v1", "/oauth2/v2", "/oauth2/v3")
)
