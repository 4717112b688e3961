"""iamcredentials.googleapis.com: short-lived credentials of service accounts.

https://cloud.google.com/iam/docs/reference/credentials/rest. `refresher.emulator.account_keys` publishes the keys that
verify the signatures.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from refresher.emulator.account_keys import load_or_create_key
from refresher.emulator.authentication import authenticate, check_perimeter, check_service
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.http import Call, Reply, Route, read_text, read_texts
from refresher.emulator.journal import LONGEST
from refresher.emulator.org_policy import allows_value
from refresher.emulator.permissions import check_chain, permission_denied
from refresher.emulator.quotas import GENERATIONS, SIGNATURES
from refresher.emulator.roles import GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN, SIGN_BLOB, SIGN_JWT
from refresher.emulator.scopes import is_scope
from refresher.emulator.state import ServiceAccount
from refresher.emulator.tokens import GOOGLE_ISSUER, Bearer, compute_key_id

SERVICE = "iamcredentials.googleapis.com"
LIFETIME_CONSTRAINT = "iam.allowServiceAccountCredentialLifetimeExtension"
DEFAULT_LIFETIME = 3600.0
LONGEST_LIFETIME = 3600.0
EXTENDED_LIFETIME = 43_200.0
ID_TOKEN_LIFE = 3600
_DELEGATE = re.compile(r"projects/-/serviceAccounts/[^/]+")
_DURATION = re.compile(r"(-?\d{1,9}(?:\.\d{1,9})?)s")


def generate_access_token(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Issue an access token of a service account, if its policy allows the caller to have one."""
    caller = authenticate(cloud, call, service=SERVICE)
    body = call.json()
    account = _find_account(cloud, call, names, GET_ACCESS_TOKEN)
    scopes = _read_scopes(body.get("scope"))
    lifetime = _read_lifetime(cloud, account, body.get("lifetime"))
    chain = check_chain(cloud, caller, _read_delegates(body), account, GET_ACCESS_TOKEN)
    _spend(cloud, account, GENERATIONS)
    expires_at = int(cloud.now() + min(lifetime, account.longest_life or lifetime))
    bearer = Bearer(
        kind="service_account",
        name=account.email,
        account_id=account.unique_id,
        expires_at=expires_at,
        scopes=scopes,
        delegation=(caller.member, *(f"serviceAccount:{delegate.email}" for delegate in chain)),
    )
    return Reply(
        document={
            "accessToken": cloud.vault.issue(bearer),
            # whole seconds and Z: Python and Java clients accept nothing else
            "expireTime": f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
    )


def generate_id_token(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Issue an ID token of a service account for an audience, if its policy allows the caller to have one."""
    caller = authenticate(cloud, call, service=SERVICE)
    body = call.json()
    account = _find_account(cloud, call, names, GET_OPEN_ID_TOKEN)
    audience = read_text(body, "audience")
    if not audience:
        raise api_refusal("I6")
    check_chain(cloud, caller, _read_delegates(body), account, GET_OPEN_ID_TOKEN)
    _spend(cloud, account, GENERATIONS)
    claims = build_id_token_claims(cloud, account, audience, with_email=body.get("includeEmail") is True)
    return Reply(document={"token": cloud.vault.sign_id_token(claims)})


def sign_jwt(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Sign claims with the key that Google holds for a service account; refused for federated tokens (I11)."""
    caller = authenticate(cloud, call, service=SERVICE)
    if caller.kind == "federated":
        raise api_refusal("I11", service=SERVICE, method="google.iam.credentials.v1.IAMCredentials.SignJwt")
    body = call.json()
    account = _find_account(cloud, call, names, SIGN_JWT)
    claims = _read_claims(cloud, read_text(body, "payload"))
    check_chain(cloud, caller, _read_delegates(body), account, SIGN_JWT)
    _spend(cloud, account, SIGNATURES)
    key = load_or_create_key(cloud, account)
    key_id = compute_key_id(key.public_key())
    signed = jwt.api_jws.encode(json.dumps(claims).encode(), key, algorithm="RS256", headers={"kid": key_id})
    return Reply(document={"keyId": key_id, "signedJwt": signed})


def sign_blob(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Sign bytes with the key that Google holds for a service account, RSA with SHA-256."""
    caller = authenticate(cloud, call, service=SERVICE)
    body = call.json()
    account = _find_account(cloud, call, names, SIGN_BLOB)
    try:
        payload = base64.b64decode(read_text(body, "payload"), validate=True)
    except (binascii.Error, ValueError):
        raise api_refusal("bad_field", field="payload") from None
    check_chain(cloud, caller, _read_delegates(body), account, SIGN_BLOB)
    _spend(cloud, account, SIGNATURES)
    key = load_or_create_key(cloud, account)
    signature = key.sign(payload, PKCS1v15(), SHA256())
    key_id = compute_key_id(key.public_key())
    return Reply(document={"keyId": key_id, "signedBlob": base64.b64encode(signature).decode()})


def build_id_token_claims(cloud: Cloud, account: ServiceAccount, audience: str, *, with_email: bool) -> dict[str, Any]:
    """Return the claims of a Google-signed ID token of a service account."""
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


def _find_account(cloud: Cloud, call: Call, names: Mapping[str, str], permission: str) -> ServiceAccount:
    """Find the target principal. As at Google, a caller without the permission gets 403 whether it exists or not."""
    name = names["account"]
    if names["project"] != "-":  # Google requires the wildcard: a project's id is invalid
        raise api_refusal("I6")
    call.facts["service_account"] = name[:LONGEST]
    account = cloud.state.find_service_account(name)
    if account is None:
        if name != name.strip():
            raise api_refusal("I4", email=name)
        if not name.isdecimal() and not name.endswith(".gserviceaccount.com"):
            raise api_refusal("I5")
        raise permission_denied(permission)
    if not account.is_usable:
        raise api_refusal("I4", email=account.email)
    check_service(cloud, account.project, SERVICE)
    check_perimeter(cloud, account.project, SERVICE)
    return account


def _spend(cloud: Cloud, account: ServiceAccount, quota: str) -> None:
    found = cloud.state.projects.get(account.project)
    cloud.quotas.spend(quota, found.number if found is not None else account.project, cloud.now())


def _read_scopes(value: object) -> tuple[str, ...]:
    scopes = value.split() if isinstance(value, str) else value
    if not isinstance(scopes, list) or not scopes or not all(map(is_scope, scopes)):
        raise api_refusal("I6")
    return tuple(scopes)


def _read_delegates(body: Mapping[str, Any]) -> list[str]:
    """Return the e-mails or unique ids of the delegates, which are sent as resource names."""
    delegates = read_texts(body, "delegates")
    if not all(_DELEGATE.fullmatch(delegate) for delegate in delegates):
        raise api_refusal("I6")
    return [delegate.rpartition("/")[2] for delegate in delegates]


def _read_lifetime(cloud: Cloud, account: ServiceAccount, value: object) -> float:
    if value is None:
        return DEFAULT_LIFETIME
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise api_refusal("I6")
    lifetime = float(found[1])
    if lifetime <= 0:
        raise api_refusal("I8")
    if lifetime > LONGEST_LIFETIME and not allows_value(cloud, account.project, LIFETIME_CONSTRAINT, account.email):
        raise api_refusal("I9")
    if lifetime > EXTENDED_LIFETIME:
        raise api_refusal("I6")
    return lifetime


def _read_claims(cloud: Cloud, payload: str) -> dict[str, Any]:
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        raise api_refusal("bad_field", field="payload") from None
    if not isinstance(claims, dict):
        raise api_refusal("bad_field", field="payload")
    expires_at = claims.get("exp")
    if expires_at is not None:
        is_number = isinstance(expires_at, int | float) and not isinstance(expires_at, bool)
        if not is_number or expires_at > cloud.now() + EXTENDED_LIFETIME:
            raise api_refusal("bad_field", field="payload.exp")
    return claims


_ACCOUNT = "/v1/projects/{project}/serviceAccounts/{account}"

ROUTES = (
    Route("iamcredentials.generateAccessToken", "POST", f"{_ACCOUNT}:generateAccessToken", generate_access_token),
    Route("iamcredentials.generateIdToken", "POST", f"{_ACCOUNT}:generateIdToken", generate_id_token),
    Route("iamcredentials.signJwt", "POST", f"{_ACCOUNT}:signJwt", sign_jwt),
    Route("iamcredentials.signBlob", "POST", f"{_ACCOUNT}:signBlob", sign_blob),
)
