"""sts.googleapis.com: the token exchange of RFC 8693 as Google's Security Token Service does it.

https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token. Takes form and JSON bodies, in snake and camel
case. Credential Access Boundaries, SAML, AWS and X.509 are left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from refresher.emulator.assertions import verify
from refresher.emulator.calls import Call, Reply
from refresher.emulator.errors import Refusal, api_refusal, sts_refusal
from refresher.emulator.journal import fingerprint
from refresher.emulator.mapping import subject_of
from refresher.emulator.oidc_issuer import key_set_of
from refresher.emulator.tokens import Bearer
from refresher.resources import WorkloadIdentityProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.emulator.cloud import Cloud
    from refresher.emulator.state import Provider

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a URN
SUBJECT_TOKEN_TYPES = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
LONGEST_LIFE = 3600
_AUDIENCE = re.compile(
    r"//iam\.googleapis\.com/projects/(?P<project>[^/]+)/locations/global/workloadIdentityPools/(?P<pool>[^/]+)"
    r"/providers/(?P<provider>[^/]+)"
)
_POOL_ONLY = re.compile(r"//iam\.googleapis\.com/projects/[^/]+/locations/global/workloadIdentityPools/[^/]+")


def token(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Exchange a subject token for a federated access token."""
    fields = fields_of(call)
    subject_token = fields.get("subject_token", "")
    call.facts["subject_token"] = fingerprint(subject_token)
    _check_form(fields)
    name, provider = _provider(cloud, fields.get("audience", ""))
    if fields["subject_token_type"] not in SUBJECT_TOKEN_TYPES:
        raise sts_refusal("subject_token_type")
    now = cloud.now()
    claims = verify(
        subject_token,
        provider,
        default_audiences=frozenset({name.sts_audience, name.token_audience}),
        key_set=lambda issuer: key_set_of(cloud, issuer),
        now=now,
    )
    principal = name.principal(subject_of(claims))
    call.facts["principal"] = principal
    return Reply(document=_answer(cloud, principal, fields["scope"], claims["exp"] - now))


def introspect(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Tell what a federated token is (RFC 7662), as gcloud asks when there is no service account."""
    fields = fields_of(call)
    bearer = cloud.vault.recognise(fields.get("token", ""), cloud.now())
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


def fields_of(call: Call) -> dict[str, str]:
    """Give the fields of a form or JSON body, named in snake case; values that are no text are left out."""
    if "json" not in call.headers.get("content-type", ""):
        return call.form()
    document = call.json()
    return {_snake(name): value for name, value in document.items() if isinstance(value, str)}


def _check_form(fields: Mapping[str, str]) -> None:
    if fields.get("grant_type") != GRANT_TYPE:
        raise sts_refusal("grant_type")
    if fields.get("requested_token_type") != ACCESS_TOKEN:
        raise sts_refusal("requested_token_type")
    if not fields.get("subject_token"):
        raise sts_refusal("empty_subject_token")
    if not fields.get("subject_token_type"):
        raise sts_refusal("empty_subject_token_type")
    if not fields.get("scope", "").split():
        raise sts_refusal("E1")


def _provider(cloud: Cloud, audience: str) -> tuple[WorkloadIdentityProvider, Provider]:
    """Find the provider that an STS audience names; a pool's name is well-formed and names none."""
    found = _AUDIENCE.fullmatch(audience)
    if found is None:
        raise sts_refusal("E4" if _POOL_ONLY.fullmatch(audience) else "E2")
    name = WorkloadIdentityProvider(project_number=found["project"], pool=found["pool"], provider=found["provider"])
    pool = cloud.state.pools.get((name.project_number, name.pool))
    provider = pool.providers.get(name.provider) if pool is not None else None
    if pool is None or pool.disabled or provider is None or provider.disabled:
        raise sts_refusal("E4")
    return name, provider


def _answer(cloud: Cloud, principal: str, scope: str, left: float) -> dict[str, Any]:
    """Give the reply; measured: with two seconds left `expires_in` is absent, with one STS fails."""
    if left <= 1:
        raise _internal()
    life = int(min(left, LONGEST_LIFE))
    bearer = Bearer(kind="federated", name=principal, expires_at=int(cloud.now()) + life, scopes=tuple(scope.split()))
    answer: dict[str, Any] = {
        "access_token": cloud.vault.issue(bearer),
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
    }
    if left > 2:  # noqa: PLR2004 - seconds, as measured
        answer["expires_in"] = life
    return answer


def _internal() -> Refusal:
    refusal = api_refusal("internal")
    return Refusal(refusal.status, refusal.document, "E15")


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)


ROUTES = (
    ("POST", r".*/v1/token", token),
    ("POST", r".*/v1/introspect", introspect),
)
