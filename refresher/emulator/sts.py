"""sts.googleapis.com: the token exchange of RFC 8693 as Google's Security Token Service does it.

https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token. Accepts form and JSON bodies, in snake and camel
case. SAML, AWS and X.509 assertions are not verified: the emulator has no service that could verify them.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from refresher.emulator import access_boundaries
from refresher.emulator.authentication import check_perimeter, check_service
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal, api_refusal, sts_refusal
from refresher.emulator.evaluation import IdentityNeeded
from refresher.emulator.http import Call, Reply, Route
from refresher.emulator.journal import LONGEST, fingerprint
from refresher.emulator.mapping import Identity, is_quick_for, map_identity
from refresher.emulator.oidc_issuer import find_key_set
from refresher.emulator.quotas import EXCHANGES, INTROSPECTIONS
from refresher.emulator.scopes import is_scope, split_scopes
from refresher.emulator.state import DEFAULT_NUMBER, Provider, pool_name
from refresher.emulator.subject_tokens import verify
from refresher.emulator.tokens import Bearer, downscope
from refresher.resources import WorkloadIdentityProvider

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a URN
SUBJECT_TOKEN_TYPES = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
AWS_REQUEST = "urn:ietf:params:aws:token-type:aws4_request"
LONGEST_LIFE = 3600
SERVICE = "sts.googleapis.com"
_AUDIENCE = re.compile(
    r"//iam\.googleapis\.com/projects/(?P<project>[^/\s]+)/locations/global/workloadIdentityPools/(?P<pool>[^/\s]+)"
    r"/providers/(?P<provider>[^/\s]+)"
)
_POOL_ONLY = re.compile(r"//iam\.googleapis\.com/projects/[^/\s]+/locations/global/workloadIdentityPools/[^/\s]+")


def exchange_token(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Exchange a subject token for a federated access token, or downscope an access token."""
    fields = read_fields(call)
    call.facts["subject_token"] = fingerprint(fields.get("subject_token", ""))
    if call.bearer_token() is not None and not cloud.lenient:
        raise sts_refusal("authorization")
    _check_form(fields)
    options = access_boundaries.read_options(fields.get("options", ""))
    if fields["subject_token_type"] == ACCESS_TOKEN:
        return _downscope(cloud, fields, options)
    return _federate(cloud, call, fields)


def introspect_token(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Describe a federated token (RFC 7662), for gcloud without a service account."""
    fields = read_fields(call)
    cloud.quotas.spend(INTROSPECTIONS, DEFAULT_NUMBER, cloud.now())
    bearer = cloud.recognise(fields.get("token", ""))
    if bearer is None or bearer.kind != "federated":
        return Reply(document={"active": False})
    return Reply(
        document={
            "active": True,
            "client_id": "emulator",
            "username": bearer.name,
            "iss": "https://sts.googleapis.com/",
            "scope": " ".join(bearer.scopes),
            "exp": bearer.expires_at,
        }
    )


def read_fields(call: Call) -> dict[str, str]:
    """Return the fields of a form or JSON body, with names in snake case. Values that are not texts are left out."""
    if "json" not in call.headers.get("content-type", ""):
        return call.form()
    document = call.json()
    return {_convert_to_snake_case(name): value for name, value in document.items() if isinstance(value, str)}


def _check_form(fields: Mapping[str, str]) -> None:
    if fields.get("grant_type") != GRANT_TYPE:
        raise sts_refusal("grant_type")
    if fields.get("requested_token_type") != ACCESS_TOKEN:
        raise sts_refusal("requested_token_type")
    if not fields.get("subject_token"):
        raise sts_refusal("empty_subject_token")
    if not fields.get("subject_token_type"):
        raise sts_refusal("empty_subject_token_type")


def _federate(cloud: Cloud, call: Call, fields: Mapping[str, str]) -> Reply:
    scopes = _scopes(fields)
    if not scopes:
        raise sts_refusal("E1")
    name, provider = _find_provider(cloud, fields.get("audience", ""))
    call.facts["provider"] = name.resource_name
    check_service(cloud, name.project_number, SERVICE)
    check_perimeter(cloud, name.project_number, SERVICE)
    now = cloud.now()
    if not call.is_repeated:
        cloud.quotas.spend(EXCHANGES, name.project_number, now)
    _check_kind(provider, fields)
    claims = verify(
        fields["subject_token"],
        provider,
        default_audiences=frozenset({name.sts_audience, name.token_audience}),
        key_set=lambda issuer: find_key_set(cloud, call, issuer),
        now=now,
        lenient=cloud.lenient,
    )
    call.facts["subject"] = str(claims.get("sub"))[:LONGEST]
    identity = _map_identity(call, fields["subject_token"], provider, claims)
    principal = name.principal(identity.subject)
    call.facts["principal"] = principal
    left = claims["exp"] - now
    if 0 < left <= 1:
        raise api_refusal("E15")  # measured: STS fails for a token with one second left
    bearer = Bearer(
        kind="federated",
        name=principal,
        # measured: within the skew, an expired token is still exchanged
        expires_at=int(now) + max(1, int(min(left, LONGEST_LIFE))),
        scopes=tuple(scopes),
        pool=pool_name(name.project_number, name.pool),
        groups=identity.groups,
        attributes=identity.attributes,
    )
    return Reply(document=_answer(cloud, bearer, left))


def _map_identity(call: Call, subject_token: str, provider: Provider, claims: dict[str, Any]) -> Identity:
    """Map the claims here if that is quick; otherwise return the result of the other process."""
    if call.identity is not None:
        if isinstance(call.identity, Refusal):
            raise call.identity
        return call.identity
    if is_quick_for(provider, subject_token):
        return map_identity(provider, claims)
    raise IdentityNeeded(provider, claims)


def _find_provider(cloud: Cloud, audience: str) -> tuple[WorkloadIdentityProvider, Provider]:
    """Find the provider in an STS audience. The name of a pool is well-formed, but not a provider."""
    found = _AUDIENCE.fullmatch(audience)
    if found is None:
        raise sts_refusal("E4" if _POOL_ONLY.fullmatch(audience) else "E2")
    name = WorkloadIdentityProvider(project_number=found["project"], pool=found["pool"], provider=found["provider"])
    pool = cloud.state.pools.get(pool_name(name.project_number, name.pool))
    provider = pool.providers.get(name.provider) if pool is not None else None
    if pool is None or pool.disabled or pool.deleted_at is not None:
        raise sts_refusal("E4")
    if provider is None or provider.disabled or provider.deleted_at is not None:
        raise sts_refusal("E4")
    return name, provider


def _scopes(fields: Mapping[str, str]) -> list[str]:
    scopes = split_scopes(fields.get("scope", ""))
    if not all(map(is_scope, scopes)):
        raise sts_refusal("invalid_scope")
    return scopes


def _check_kind(provider: Provider, fields: Mapping[str, str]) -> None:
    kind = fields["subject_token_type"]
    if provider.kind == "aws" and kind == AWS_REQUEST:
        raise sts_refusal("E10" if _is_object(unquote(fields["subject_token"])) else "E16")
    if provider.kind != "oidc" or kind not in SUBJECT_TOKEN_TYPES:
        raise sts_refusal("subject_token_type")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _downscope(cloud: Cloud, fields: Mapping[str, str], options: dict[str, Any]) -> Reply:
    """Apply a credential access boundary to an access token of this cloud; the answer has no `expires_in`."""
    if fields.get("audience"):
        raise sts_refusal("access_token")
    _scopes(fields)
    boundary = access_boundaries.read_boundary(options)
    bearer = cloud.recognise(fields["subject_token"])
    if bearer is None or bearer.boundary is not None:
        raise sts_refusal("opaque")
    return Reply(document=_answer(cloud, downscope(bearer, boundary), 0))


def _answer(cloud: Cloud, bearer: Bearer, left: float) -> dict[str, Any]:
    """Return the reply. Measured: with two seconds left, `expires_in` is absent."""
    answer: dict[str, Any] = {
        "access_token": cloud.vault.issue(bearer),
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
    }
    if left > 2:  # noqa: PLR2004 - seconds, as measured
        answer["expires_in"] = int(min(left, LONGEST_LIFE))
    return answer


def _convert_to_snake_case(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)


ROUTES = (
    Route("sts.token", "POST", "/v1/token", exchange_token),
    Route("sts.introspect", "POST", "/v1/introspect", introspect_token),
)
