"""Every refusal of Google's catalogue that a server can send, caused one by one and compared word for word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.emulator.catalogue_causes import (
    UNAUTHENTICATED,
    aws,
    bind,
    condition,
    create,
    deleted,
    federated_token,
    mismatch,
    narrow,
    not_allowed,
    older_text,
    org_policy,
    pattern,
    perimeter,
    quota,
    quota_project,
    recreate,
    with_key,
)
from tests.unit.emulator.conftest import ALICE, BOB, ISSUER, NOW_SECONDS, POOL, PROVIDER, Google, Issuer, principal

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.emulator.http import Reply

    Cause = Callable[[Google, Issuer], Reply]

EC_KEY = {"kty": "EC", "kid": "k", "x": "AA", "y": "AA"}
DENIED = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."

CAUSES: dict[str, tuple[Cause, int, str, str]] = {
    "E1": (
        lambda google, issuer: google.exchange(issuer.token(), scope=""),
        400,
        "invalid_request",
        "Scope(s) must be provided.",
    ),
    "E2": (
        lambda google, issuer: google.exchange(issuer.token(), audience=f"//iam.googleapis.com//{PROVIDER}"),
        400,
        "invalid_request",
        (
            'Invalid value for "audience". This value should be the full resource name of the Identity Provider. See '
            "https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token for the list of possible formats."
        ),
    ),
    "E3": (
        lambda google, issuer: google.exchange(issuer.token(sub="x" * 128)),
        400,
        "invalid_request",
        (
            "The size of mapped attribute google.subject exceeds the 127 bytes limit. Either modify your attribute "
            "mapping or the incoming assertion to produce a mapped attribute that is less than 127 bytes."
        ),
    ),
    "E4": (
        lambda google, issuer: google.exchange(issuer.token(), audience=f"//iam.googleapis.com/{POOL}"),
        400,
        "invalid_target",
        (
            'The target service indicated by the "audience" parameters is invalid. This might either be because the '
            "pool or provider is disabled or deleted or because it doesn't exist."
        ),
    ),
    "E5": (
        lambda google, issuer: google.exchange(issuer.token(aud="https://other")),
        400,
        "invalid_grant",
        "The audience in ID Token [https://other] does not match the expected audience.",
    ),
    "E6": (
        lambda google, issuer: google.exchange(issuer.token(iss="https://other")),
        400,
        "invalid_grant",
        f"The issuer in ID Token https://other does not match the expected one in config: {ISSUER}",
    ),
    "E7": (
        lambda google, issuer: google.exchange(issuer.token(exp=NOW_SECONDS - 61)),
        400,
        "invalid_grant",
        f"ID Token issued at {NOW_SECONDS} is stale to sign-in.",
    ),
    "E8": (
        lambda google, issuer: google.exchange(issuer.token(without=("iat",))),
        400,
        "invalid_grant",
        "ID Token issued at null is stale to sign-in.",
    ),
    "E9": (lambda google, _: google.exchange("ya29.opaque"), 400, "invalid_grant", "Unable to parse the ID Token."),
    "E10": (
        lambda google, issuer: google.exchange(issuer.token(headers={"kid": "unknown"})),
        400,
        "invalid_grant",
        "Error connecting to the given credential's issuer.",
    ),
    "E11": (
        lambda google, _: google.exchange(Issuer(key=ec.generate_private_key(ec.SECP256R1())).token()),
        400,
        "invalid_grant",
        "Unable to verify the ID Token signature.",
    ),
    "E12": (condition, 400, "unauthorized_client", "The given credential is rejected by the attribute condition."),
    "E13": (
        quota,
        429,
        "quota_exceeded",
        "The request was throttled due to rate limit: sts.googleapis.com/requests. Please retry after a few seconds.",
    ),
    "E14": (
        lambda google, issuer: google.exchange(issuer.token(without=("sub",))),
        400,
        "unauthorized_client",
        "Could not obtain a value for google.subject from the given credential.",
    ),
    "E15": (
        lambda google, issuer: google.exchange(issuer.token(exp=NOW_SECONDS + 1)),
        500,
        "INTERNAL",
        "Internal error encountered.",
    ),
    "E16": (
        aws,
        400,
        "invalid_grant",
        "Invalid format of AWS credentials:Error at line 0:0: Unexpected end of stream : expected '{'",
    ),
    "E17": (
        perimeter,
        403,
        "PERMISSION_DENIED",
        "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: emulator",
    ),
    "E19": (
        mismatch,
        400,
        "invalid_grant",
        "`issuer` claim in OIDC discovery document does not match the issuer specified in the request.",
    ),
    "I1": (
        lambda google, issuer: google.impersonate(BOB, federated_token(google, issuer)),
        403,
        "PERMISSION_DENIED",
        DENIED,
    ),
    "I2": (
        lambda google, issuer: older_text(google, issuer, "I2"),
        403,
        "PERMISSION_DENIED",
        "The caller does not have permission",
    ),
    "I3": (narrow, 403, "PERMISSION_DENIED", "Request had insufficient authentication scopes."),
    "I4": (deleted, 404, "NOT_FOUND", f"Not found; Gaia id not found for email {ALICE}"),
    "I5": (
        lambda google, issuer: google.impersonate("alice@example.com", federated_token(google, issuer)),
        404,
        "NOT_FOUND",
        "Requested entity was not found.",
    ),
    "I6": (
        lambda google, issuer: google.impersonate(ALICE, federated_token(google, issuer), scope=[]),
        400,
        "INVALID_ARGUMENT",
        "Request contains an invalid argument.",
    ),
    "I7": (
        lambda google, issuer: older_text(google, issuer, "I7"),
        400,
        "INVALID_ARGUMENT",
        "The access token lifetime cannot exceed 3600 seconds.",
    ),
    "I8": (
        lambda google, issuer: google.impersonate(ALICE, federated_token(google, issuer), lifetime="0s"),
        400,
        "INVALID_ARGUMENT",
        "Lifetime of access token must be larger then zero.",
    ),
    "I9": (
        lambda google, issuer: google.impersonate(ALICE, federated_token(google, issuer), lifetime="3601s"),
        400,
        "INVALID_ARGUMENT",
        (
            "The requested access tokens can not have lifetimes of more than 1 hour. Use the Org Policy Constraint "
            "constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours."
        ),
    ),
    "I10": (lambda google, _: google.impersonate(ALICE, "ya29.over"), 401, "UNAUTHENTICATED", UNAUTHENTICATED),
    "I11": (
        lambda google, issuer: google.iam(ALICE, "signJwt", federated_token(google, issuer), payload="{}"),
        401,
        "UNAUTHENTICATED",
        UNAUTHENTICATED,
    ),
    "I12": (
        quota_project,
        403,
        "PERMISSION_DENIED",
        (
            "Caller does not have required permission to use project my-project. Grant the caller the "
            "roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use "
            "permission, by visiting https://console.developers.google.com/iam-admin/iam/project?project=my-project "
            "and then retry. Propagation of the new permission may take a few minutes."
        ),
    ),
    "T1": (org_policy, 400, "FAILED_PRECONDITION", "Precondition check failed."),
    "T2": (
        lambda google, _: with_key(google, {**EC_KEY, "crv": "P-256", "x5c": ["AA"]}),
        400,
        "INVALID_ARGUMENT",
        "Input JWK is not in a valid json format",
    ),
    "T3": (
        lambda google, _: with_key(google, {**EC_KEY, "crv": "P-384"}),
        400,
        "INVALID_ARGUMENT",
        "Invalid JWKs. Only RSA, EC key types are supported.",
    ),
    "T4": (
        lambda google, _: with_key(google, {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "k"}),
        400,
        "INVALID_ARGUMENT",
        "Input jwks contains corrupted key material.",
    ),
    "T5": (
        lambda google, _: create(google, oidc={"issuerUri": "http://workers.invalid"}),
        400,
        "INVALID_ARGUMENT",
        "Invalid OIDC issuer URI. The scheme must be https.",
    ),
    "T5b": (
        lambda google, _: create(google, oidc={"issuerUri": "workers.invalid"}),
        400,
        "INVALID_ARGUMENT",
        "Invalid OIDC issuer URI.",
    ),
    "T6": (
        lambda google, _: create(google, oidc={"issuerUri": "https://token.actions.githubusercontent.com"}),
        400,
        "INVALID_ARGUMENT",
        "The attribute condition must reference one of the provider's claims.",
    ),
    "T7": (recreate, 409, "ALREADY_EXISTS", "Requested entity already exists"),
    "T8": (
        lambda google, _: bind(google, principal("user-1", POOL.replace("workers", "absent"))),
        400,
        "INVALID_ARGUMENT",
        (
            f"Identity Pool does not exist ({POOL.replace('workers', 'absent')}). Please check that you specified a "
            "valid resource name as returned in the `name` attribute in the configuration API."
        ),
    ),
    "T9": (
        not_allowed,
        403,
        "PERMISSION_DENIED",
        (
            "Permission 'iam.workloadIdentityPools.create' denied on resource "
            "'//iam.googleapis.com/projects/my-project' (or it may not exist)."
        ),
    ),
}


@pytest.mark.parametrize("entry", CAUSES)
def test_refusal_is_exactly_googles(google: Google, issuer: Issuer, entry: str) -> None:
    """Each entry of the catalogue has its exact status, code and text, and is noted under its id."""
    cause, status, code, text = CAUSES[entry]

    reply = cause(google, issuer)

    error = reply.document["error"]
    said = (
        (error["status"], error["message"]) if isinstance(error, dict) else (error, reply.document["error_description"])
    )
    assert (reply.status, *said) == (status, code, text)
    assert google.cloud.journal.entries()[-1].refusal == entry


def test_details_have_the_reason_where_google_sends_it(google: Google, issuer: Issuer) -> None:
    """I11 and T1 have the details that distinguish them from refusals with the same text."""
    unsupported = CAUSES["I11"][0](google, issuer).document["error"]["details"][0]["reason"]
    violation = CAUSES["T1"][0](google, issuer).document["error"]["details"][0]["violations"][0]["description"]

    assert unsupported == "ACCESS_TOKEN_TYPE_UNSUPPORTED"
    assert violation == f"Org Policy violated for value: '{ISSUER}'."


def test_guide_shows_the_whole_catalogue() -> None:
    """The table of the guide has exactly these entries, with the tested status, code and text."""
    guide = Path("docs/emulator.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([EIT]\d+b?) \| (\d+) `([^`]+)` \| (.+?) \| .+ \|$", guide, re.MULTILINE)

    shown = {entry: (int(status), code, text) for entry, status, code, text in rows}

    assert set(shown) == set(CAUSES)
    for entry, (_, status, code, text) in CAUSES.items():
        assert shown[entry][:2] == (status, code)
        assert re.fullmatch(pattern(shown[entry][2]), text.replace("`", "")), entry
