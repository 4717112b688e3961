"""The token endpoint: access tokens for refresh tokens of users, and for assertions that service accounts sign.

https://developers.google.com/identity/protocols/oauth2/web-server#offline and
https://developers.google.com/identity/protocols/oauth2/service-account (RFC 7523). No client may act as a user by
domain-wide delegation.
"""

import hmac
from collections.abc import Mapping
from typing import Any

from refresher.emulator.cloud import Cloud
from refresher.emulator.credentials import UserCredential, is_signed_by, is_timely, load_public_keys, parse_assertion
from refresher.emulator.errors import oauth_refusal
from refresher.emulator.http import Call, Reply, Route
from refresher.emulator.iam_credentials import ID_TOKEN_LIFE, build_id_token_claims
from refresher.emulator.scopes import is_scope, split_scopes
from refresher.emulator.state import ServiceAccount, derive_unique_id
from refresher.emulator.tokens import GOOGLE_ISSUER, Bearer

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
AUDIENCES = (
    TOKEN_URL,
    "https://www.googleapis.com/oauth2/v4/token",
    "https://www.googleapis.com/oauth2/v3/token",
    "https://accounts.google.com/o/oauth2/token",
)
"""The audiences of assertions, in addition to the address to which one is sent."""

LIFE = 3599


def issue_token(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Issue an access token, or an ID token of a service account."""
    fields = call.form()
    grant = fields.get("grant_type", "")
    if grant == "refresh_token":
        return _refresh(cloud, call, fields)
    if grant == JWT_BEARER:
        return _accept_assertion(cloud, call, fields)
    raise oauth_refusal("O15", grant=grant)


def _refresh(cloud: Cloud, call: Call, fields: Mapping[str, str]) -> Reply:
    """Issue an access token of a user."""
    email, credential = _find_user(cloud, fields)
    call.facts["principal"] = email
    asked = split_scopes(fields.get("scope", "")) or credential.scopes
    if not set(asked) <= set(credential.scopes):
        raise oauth_refusal("ungranted_scope")
    bearer = Bearer(kind="user", name=email, expires_at=int(cloud.now()) + LIFE, scopes=tuple(asked))
    answer = _answer(cloud, bearer) | {"scope": " ".join(asked)}
    if "openid" in asked:
        answer["id_token"] = cloud.vault.sign_id_token(_user_claims(cloud, email, credential))
    return Reply(document=answer)


def _find_user(cloud: Cloud, fields: Mapping[str, str]) -> tuple[str, UserCredential]:
    """Find the user of a refresh token; the client must be the one to which it was issued."""
    client_id, secret, token = (fields.get(name, "") for name in ("client_id", "client_secret", "refresh_token"))
    if not client_id:
        raise oauth_refusal("O5")
    clients = {user.client_id: user.client_secret for user in cloud.state.users.values()}
    if client_id not in clients:
        raise oauth_refusal("O3")
    if not secret:
        raise oauth_refusal("O6")
    if not hmac.compare_digest(secret.encode(), clients[client_id].encode()):
        raise oauth_refusal("O4")
    if not token:
        raise oauth_refusal("no_parameter", name="refresh_token")
    found = next((pair for pair in cloud.state.users.items() if pair[1].refresh_token == token), None)
    if found is None:
        raise oauth_refusal("O1")
    if found[1].client_id != client_id:
        raise oauth_refusal("other_client")
    if found[1].revoked:
        raise oauth_refusal("O2")
    return found


def _accept_assertion(cloud: Cloud, call: Call, fields: Mapping[str, str]) -> Reply:
    """Issue a token of the service account that signed an assertion."""
    account, claims = _verify(cloud, call, fields.get("assertion", ""))
    call.facts.update(principal=account.email, service_account=account.email)
    audience = claims.get("target_audience")
    if isinstance(audience, str) and audience:
        token = cloud.vault.sign_id_token(build_id_token_claims(cloud, account, audience, with_email=True))
        return Reply(document={"id_token": token})
    scope = claims.get("scope")
    scopes = split_scopes(scope) if isinstance(scope, str) else []
    if not scopes:
        raise oauth_refusal("O11")
    if not all(map(is_scope, scopes)):
        raise oauth_refusal("O12", scope=scope)
    life = min(LIFE, account.longest_life or LIFE)
    bearer = Bearer(
        kind="service_account",
        name=account.email,
        account_id=account.unique_id,
        expires_at=int(cloud.now() + life),
        scopes=tuple(scopes),
    )
    return Reply(document=_answer(cloud, bearer))


def _verify(cloud: Cloud, call: Call, assertion: str) -> tuple[ServiceAccount, dict[str, Any]]:
    """Return the account that signed an assertion, and its claims.

    Raises:
        Refusal: The first of O14, O8, O7, O10, O9 and O13 that applies, or O1 for what is not a JWT.
    """
    if not assertion:
        raise oauth_refusal("no_parameter", name="assertion")
    try:
        claims = parse_assertion(assertion)
    except ValueError:
        raise oauth_refusal("O1") from None
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or "@" not in issuer:
        raise oauth_refusal("O14")
    account = cloud.state.service_accounts.get(issuer)
    if account is None or not account.is_usable:
        raise oauth_refusal("O8")
    if not is_signed_by(load_public_keys(account.keys, account.key), assertion):
        raise oauth_refusal("O7")
    own = f"{call.scheme}://{call.headers.get('host', '')}{call.path}"
    if claims.get("aud") not in (*AUDIENCES, own):
        raise oauth_refusal("O10", expected=TOKEN_URL)
    if not is_timely(claims, cloud.now()):
        raise oauth_refusal("O9")
    if claims.get("sub", issuer) != issuer:
        raise oauth_refusal("O13")
    return account, claims


def _answer(cloud: Cloud, bearer: Bearer) -> dict[str, Any]:
    life = int(bearer.expires_at - cloud.now())
    return {"access_token": cloud.vault.issue(bearer), "expires_in": life, "token_type": "Bearer"}


def _user_claims(cloud: Cloud, email: str, credential: UserCredential) -> dict[str, Any]:
    now = int(cloud.now())
    return {
        "iss": GOOGLE_ISSUER,
        "azp": credential.client_id,
        "aud": credential.client_id,
        "sub": derive_unique_id(email),
        "email": email,
        "email_verified": True,
        "iat": now,
        "exp": now + ID_TOKEN_LIFE,
    }


ROUTES = tuple(
    Route("oauth2.token", "POST", path, issue_token)
    for path in ("/token", "/oauth2/v3/token", "/oauth2/v4/token", "/o/oauth2/token")
)
