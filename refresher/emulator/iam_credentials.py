"""iamcredentials.googleapis.com: short-lived credentials of service accounts.

https://cloud.google.com/iam/docs/reference/credentials/rest. `generateAccessToken`, `generateIdToken` and
`allowedLocations`; `signJwt` and `signBlob` are left out.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from refresher.emulator.calls import Call, Reply
from refresher.emulator.errors import api_refusal
from refresher.emulator.permissions import GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN, check_chain, denied
from refresher.emulator.tokens import GOOGLE_ISSUER, Bearer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.emulator.cloud import Cloud
    from refresher.emulator.state import ServiceAccount

DEFAULT_LIFETIME = 3600.0
LONGEST_LIFETIME = 3600.0
EXTENDED_LIFETIME = 43_200.0
ID_TOKEN_LIFE = 3600
_DURATION = re.compile(r"(-?\d{1,9}(?:\.\d{1,9})?)s")
_SUFFICIENT_SCOPES = {
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/iam",
}


def generate_access_token(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Give an access token of a service account to whom its policy allows it."""
    caller = caller_of(cloud, call)
    body = call.json()
    account = _account(cloud, call, names["account"], GET_ACCESS_TOKEN)
    scopes = _scopes(body.get("scope"))
    lifetime = _lifetime(cloud, body.get("lifetime"))
    check_chain(cloud, caller.member, _delegates(body), account, GET_ACCESS_TOKEN)
    expires_at = int(cloud.now() + lifetime)
    bearer = Bearer(kind="service_account", name=account.email, expires_at=expires_at, scopes=scopes)
    return Reply(
        document={
            "accessToken": cloud.vault.issue(bearer),
            # whole seconds and Z: Python and Java clients take nothing else
            "expireTime": f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
    )


def generate_id_token(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Give an ID token of a service account for an audience to whom its policy allows it."""
    caller = caller_of(cloud, call)
    body = call.json()
    account = _account(cloud, call, names["account"], GET_OPEN_ID_TOKEN)
    audience = body.get("audience")
    if not isinstance(audience, str) or not audience:
        raise api_refusal("I6")
    check_chain(cloud, caller.member, _delegates(body), account, GET_OPEN_ID_TOKEN)
    claims = id_token_claims(cloud, account, audience, with_email=body.get("includeEmail") is True)
    return Reply(document={"token": cloud.vault.sign_id_token(claims)})


def allowed_locations(_cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Answer google-auth's background look-up of regional access boundaries: there are none."""
    return Reply(document={"locations": [], "encodedLocations": "0x0"})


def id_token_claims(cloud: Cloud, account: ServiceAccount, audience: str, *, with_email: bool) -> dict[str, Any]:
    """Give the claims of a Google-signed ID token of a service account."""
    now = int(cloud.now())
    claims: dict[str, Any] = {
        "aud": audience,
        "azp": account.unique_id,
        "exp": now + ID_TOKEN_LIFE,
        "iat": now,
        "iss": GOOGLE_ISSUER,
        "sub": account.unique_id,
    }
    return claims | {"email": account.email, "email_verified": True} if with_email else claims


def caller_of(cloud: Cloud, call: Call) -> Bearer:
    """Give whom the Authorization header speaks for.

    Raises:
        Refusal: I10 if for nobody, I3 if its scopes do not suffice.
    """
    bearer = cloud.vault.recognise(call.bearer_token() or "", cloud.now())
    if bearer is None:
        raise api_refusal("I10")
    call.facts["principal"] = bearer.name
    if _SUFFICIENT_SCOPES.isdisjoint(bearer.scopes):
        raise api_refusal("I3", service="iamcredentials.googleapis.com")
    return bearer


def _account(cloud: Cloud, call: Call, name: str, permission: str) -> ServiceAccount:
    """Find the target principal; whether one exists is told to nobody who may not use it (403, as Google does)."""
    call.facts["service_account"] = name
    account = cloud.state.find_service_account(name)
    if account is None:
        if not name.isdecimal() and not name.endswith(".gserviceaccount.com"):
            raise api_refusal("not_found")
        raise denied(permission)
    if account.disabled:
        raise api_refusal("I4", email=account.email)
    return account


def _scopes(value: object) -> tuple[str, ...]:
    scopes = value.split() if isinstance(value, str) else value
    if not isinstance(scopes, list) or not scopes or not all(isinstance(scope, str) and scope for scope in scopes):
        raise api_refusal("I6")
    return tuple(scopes)


def _delegates(body: dict[str, Any]) -> list[str]:
    delegates = body.get("delegates") or []
    if not isinstance(delegates, list) or not all(isinstance(delegate, str) for delegate in delegates):
        raise api_refusal("I6")
    return delegates


def _lifetime(cloud: Cloud, value: object) -> float:
    if value is None:
        return DEFAULT_LIFETIME
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise api_refusal("I6")
    lifetime = float(found[1])
    if lifetime <= 0:
        raise api_refusal("I8")
    if lifetime > (EXTENDED_LIFETIME if cloud.state.allows_long_lifetimes else LONGEST_LIFETIME):
        raise api_refusal("I9")
    return lifetime


_ACCOUNT = r".*/v1/projects/[^/]+/serviceAccounts/(?P<account>[^/:]+)"

ROUTES = (
    ("POST", rf"{_ACCOUNT}:generateAccessToken", generate_access_token),
    ("POST", rf"{_ACCOUNT}:generateIdToken", generate_id_token),
    ("GET", r".*/v1/.*/allowedLocations", allowed_locations),
)
