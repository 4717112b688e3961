"""oauth2.googleapis.com: `tokeninfo`, which tells what a service account's access token or an ID token is.

It does not understand federated tokens, as measured with the real one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt

from refresher.emulator.calls import Call, Reply
from refresher.emulator.errors import Refusal
from refresher.emulator.tokens import GOOGLE_ISSUER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.emulator.cloud import Cloud


def tokeninfo(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Tell what a token is."""
    fields = {**call.form(), **call.query}
    id_token = fields.get("id_token")
    if id_token:
        return Reply(document=_id_token(cloud, id_token))
    bearer = cloud.vault.recognise(fields.get("access_token") or call.bearer_token() or "", cloud.now())
    account = cloud.state.find_service_account(bearer.name) if bearer is not None else None
    if bearer is None or account is None or bearer.kind != "service_account":
        raise _invalid()
    return Reply(
        document={
            "azp": account.unique_id,
            "aud": account.unique_id,
            "scope": " ".join(bearer.scopes),
            "exp": str(bearer.expires_at),
            "expires_in": str(int(bearer.expires_at - cloud.now())),
            "email": account.email,
            "email_verified": "true",
            "access_type": "online",
        }
    )


def _id_token(cloud: Cloud, token: str) -> dict[str, str]:
    try:
        key = jwt.PyJWK(cloud.vault.jwks["keys"][0])
        claims = jwt.decode(
            token, key, algorithms=["RS256"], issuer=GOOGLE_ISSUER, options={"verify_aud": False, "verify_exp": False}
        )
        is_over = float(claims["exp"]) <= cloud.now()
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise _invalid() from None
    if is_over:
        raise _invalid()
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in claims.items()}


def _invalid() -> Refusal:
    return Refusal(400, {"error": "invalid_token", "error_description": "Invalid Value"}, "tokeninfo")


ROUTES = (
    ("GET", r"(/oauth2/v[123])?/tokeninfo", tokeninfo),
    ("POST", r"(/oauth2/v[123])?/tokeninfo", tokeninfo),
)
