"""The refusals that faults send by their ids, with what the request itself shows: quota, account, claims."""

from collections.abc import Mapping
from typing import Any

import jwt

from refresher.emulator.account_emails import compose_email
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import OAUTH, STS, Refusal, api_refusal, oauth_refusal, sts_refusal
from refresher.emulator.http import Call
from refresher.emulator.oauth2.token import TOKEN_URL
from refresher.emulator.quotas import EXCHANGES, GENERATIONS, INTROSPECTIONS, POOL_WRITES, SIGNATURES
from refresher.emulator.roles import GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN, SIGN_BLOB, SIGN_JWT
from refresher.emulator.state import pool_name
from refresher.emulator.sts import read_fields

_QUOTAS = {
    "sts.token": EXCHANGES,
    "sts.introspect": INTROSPECTIONS,
    "iamcredentials.generateAccessToken": GENERATIONS,
    "iamcredentials.generateIdToken": GENERATIONS,
    "iamcredentials.signBlob": SIGNATURES,
    "iamcredentials.signJwt": SIGNATURES,
}
_PERMISSIONS = {
    "iamcredentials.generateAccessToken": GET_ACCESS_TOKEN,
    "iamcredentials.generateIdToken": GET_OPEN_ID_TOKEN,
    "iamcredentials.signBlob": SIGN_BLOB,
    "iamcredentials.signJwt": SIGN_JWT,
}


def build_refusal(cloud: Cloud, entry: str, operation: str, call: Call, names: Mapping[str, str]) -> Refusal:
    """Return a refusal as if the request had caused it.

    Args:
        cloud: The emulated cloud.
        entry: The id in the catalogue.
        operation: The operation of the request.
        call: The request.
        names: The names in its path.
    """
    service = f"{operation.partition('.')[0]}.googleapis.com"
    known = cloud.state.projects
    project, found = cloud.state.find_project(names.get("project", "")) or next(iter(known.items()))
    pool = names.get("pool", "workers")
    if entry in OAUTH:
        return oauth_refusal(entry, expected=TOKEN_URL, scope="storage", grant="password", name="assertion")
    if entry in STS:
        claims = _claims(call)
        return sts_refusal(
            entry,
            audience=claims.get("aud", ""),
            issuer=claims.get("iss", "null"),
            expected="https://issuer.invalid",
            issued_at=claims.get("iat", int(cloud.now())),
            quota=_QUOTAS.get(operation, EXCHANGES),
            problem="a scripted fault",
            name="attribute.worker",
        )
    return api_refusal(
        entry,
        service=service,
        permission=_PERMISSIONS.get(operation, operation.replace("cloudresourcemanager.", "resourcemanager.")),
        resource=f" '//{service}/projects/{project}'" if entry == "T9" else "",
        email=names.get("account") or compose_email("nobody", project),
        account=names.get("account", "nobody").partition("@")[0],
        project=project if entry in ("I12", "account_exists") else found.number,
        quota=_QUOTAS.get(operation, POOL_WRITES if service == "iam.googleapis.com" else f"{service}/requests"),
        method=operation,
        identifier="emulator",
        pool=pool_name(found.number, pool),
        role="roles/iam.absent",
        field="name",
        problem="A scripted fault.",
    )


def _claims(call: Call) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(read_fields(call)["subject_token"], options={"verify_signature": False})
    except (jwt.PyJWTError, Refusal, KeyError, ValueError, RecursionError):
        return {}
    return claims
