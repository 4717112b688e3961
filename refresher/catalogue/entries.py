"""Known failures of STS and IAM Credentials: the message, why it happens, what to do.

The texts are published by Google or measured against the real services; each entry names its source. An entry is
recognised by a part of the text, and the first match counts, so the narrow ones stand first.
"""

from __future__ import annotations

from refresher.catalogue.entry import SHARED, Entry, recognise

UNKNOWN_REMEDY = "look this message up in Google's documentation of workload identity federation"

OPAQUE_REMEDY = (
    "use a supplier of JWTs, such as google_id_token or self_issued: Google's STS accepts no opaque access token for a "
    "workload identity pool"
)
"""Google documents that it refuses (guide to other providers), and in which words is not published."""

_UNPARSED = "E9"
_BAD_REQUEST = 400
_TROUBLESHOOTING = "https://docs.cloud.google.com/iam/docs/troubleshooting-workload-identity-federation"
_CREDENTIALS = "https://docs.cloud.google.com/iam/docs/create-short-lived-credentials-direct"
_ISSUES = "https://github.com/google-github-actions/auth/blob/main/docs/TROUBLESHOOTING.md"


ENTRIES = (
    Entry(
        name="E1",
        status=400,
        text="Scope(s) must be provided",
        cause="the request has no scope",
        remedy="request the scope https://www.googleapis.com/auth/cloud-platform",
        source=_TROUBLESHOOTING,
    ),
    Entry(
        name="E2",
        status=400,
        text='Invalid value for "audience"',
        cause="the STS audience is not a provider's resource name",
        remedy="correct the entry below providers: the project number (not the id), the pool id, the provider id",
        source=_ISSUES,
    ),
    Entry(
        name="E3",
        status=400,
        text="exceeds the 127 bytes limit",
        cause="the mapped subject is too long",
        remedy="use a shorter `subject`, or map it with extract()",
        source=_TROUBLESHOOTING,
    ),
    Entry(
        name="E4",
        status=400,
        text='The target service indicated by the "audience" parameters is invalid',
        cause="the pool or provider does not exist, is disabled, or was created less than five minutes ago",
        remedy="check project number, pool and provider below `providers`, and that both are enabled in Google Cloud",
        source=_ISSUES,
    ),
    Entry(
        name="E5",
        status=400,
        text="The audience in ID Token",
        cause="the provider has a list of allowed audiences, and the token's audience is not in it",
        remedy="set providers.NAME.audience to one of the provider's allowed audiences",
        source=_ISSUES,
    ),
    Entry(
        name="E6",
        status=400,
        text="The issuer in ID Token",
        cause="the token's issuer is not exactly the provider's issuer",
        remedy="make suppliers.NAME.issuer and the provider's issuer_uri equal, including a trailing slash",
        source=_ISSUES,
    ),
    Entry(
        name="E8",
        status=400,
        text="issued at null is stale",
        cause="the token has no claim `iat`",
        remedy="make the supplier add claim `iat`, in whole seconds",
        source="measured",
    ),
    Entry(
        name="E7",
        status=400,
        text="is stale to sign-in",
        cause="the token has expired, or was issued in the future",
        remedy="set this machine's clock (NTP), and check that the token file is refreshed",
        source="https://github.com/googleapis/google-cloud-go/issues/12440",
    ),
    Entry(
        name=_UNPARSED,
        status=400,
        text="Unable to parse the ID Token",
        cause="the file holds more than a JWT, or something else",
        remedy="make the token file hold the JWT and nothing else, without a newline",
        source="measured",
    ),
    Entry(
        name="E10",
        status=400,
        text="Error connecting to the given credential's issuer",
        cause="the issuer's keys are not available to Google, or none of them has the token's `kid`",
        remedy="upload the current keys (refresher keys jwks) and wait five minutes; or make the issuer reachable",
        source=_TROUBLESHOOTING,
    ),
    Entry(
        name="E11",
        status=400,
        text="Unable to verify the ID Token signature",
        cause="the uploaded key with this `kid` is a different key",
        remedy="upload the output of refresher keys jwks to the provider again",
        source="measured",
    ),
    Entry(
        name="E12",
        status=400,
        text="rejected by the attribute condition",
        cause="the provider's attribute condition is false for this token",
        remedy="compare the condition with the token's claims (subject prefix, letter case): refresher inspect FILE",
        source=_ISSUES,
    ),
    Entry(
        name="E13",
        status=429,
        text="throttled due to rate limit",
        cause="more than 6,000 exchanges a minute in this project",
        remedy="reduce the number of exchanges, or request a higher quota",
        source=_TROUBLESHOOTING,
    ),
    Entry(
        name="E14",
        status=400,
        text="Could not obtain a value for google.subject",
        cause="the claim that google.subject is mapped from is absent",
        remedy="map google.subject from a claim that every token has: assertion.sub",
        source="https://docs.cloud.google.com/iam/docs/workload-identity-federation",
    ),
    Entry(
        name="I1-openid",
        status=403,
        text="iam.serviceAccounts.getOpenIdToken",
        cause="the caller may not create ID tokens for this account",
        remedy="grant the caller roles/iam.serviceAccountOpenIdTokenCreator on {service_account}",
        source=_CREDENTIALS,
        is_missing_role=True,
    ),
    Entry(
        name="I1-delegation",
        status=403,
        text="iam.serviceAccounts.implicitDelegation",
        cause="in a chain of delegates one account may not act as the next",
        remedy="grant each of the chain roles/iam.serviceAccountTokenCreator on the next, up to {service_account}",
        source=_CREDENTIALS,
        is_missing_role=True,
    ),
    Entry(
        name="I1-sign",
        status=403,
        text="iam.serviceAccounts.signJwt",
        cause="the caller may not sign with this account",
        remedy="grant the caller roles/iam.serviceAccountTokenCreator on {service_account}",
        source=_CREDENTIALS,
        is_missing_role=True,
    ),
    Entry(
        name="I1",
        status=403,
        text="iam.serviceAccounts.getAccessToken",
        cause="this principal may not act as the account, or the grant is less than two minutes old",
        remedy="grant the principal roles/iam.workloadIdentityUser on {service_account}",
        source=_ISSUES,
        is_missing_role=True,
    ),
    Entry(
        name="E17",
        status=403,
        text="prohibited by organization's policy",
        cause="a service perimeter (VPC Service Controls) blocks the call",
        remedy="allow sts.googleapis.com and iamcredentials.googleapis.com in the perimeter's ingress rules",
        source="https://docs.cloud.google.com/vpc-service-controls/docs/troubleshooting",
    ),
    Entry(
        name="I2",
        status=403,
        text="The caller does not have permission",
        cause="the caller lacks a permission (Google's older message, and the one for a chain of delegates)",
        remedy="grant the caller roles/iam.serviceAccountTokenCreator on {service_account}",
        source=_ISSUES,
        is_missing_role=True,
    ),
    *SHARED,
    Entry(
        name="I2-other",
        status=403,
        text="",
        cause="the caller lacks a permission, or the API is not enabled",
        remedy="grant the caller roles/iam.serviceAccountTokenCreator on {service_account}, and enable the IAM "
        "Credentials API",
        source=_CREDENTIALS,
    ),
    Entry(
        name="I4",
        status=404,
        text="",
        cause="the service account does not exist",
        remedy="check the e-mail {service_account}, letter by letter",
        source=_ISSUES,
    ),
    Entry(
        name="I9",
        status=400,
        text="allowServiceAccountCredentialLifetimeExtension",
        cause="the requested lifetime is more than an hour",
        remedy="set the identity's lifetime to 1h, or add {service_account} to that organization policy",
        source=_CREDENTIALS,
    ),
    Entry(
        name="I7",
        status=400,
        text="lifetime cannot exceed 3600 seconds",
        cause="the requested lifetime is more than an hour, or this machine's clock is wrong",
        remedy="set the identity's lifetime to 55m, and set this machine's clock (NTP)",
        source=_ISSUES,
    ),
    Entry(
        name="I8",
        status=400,
        text="must be larger then zero",
        cause="the requested lifetime is zero",
        remedy="set the identity's lifetime to 1h",
        source="measured",
    ),
    Entry(
        name="I6",
        status=400,
        text="Request contains an invalid argument",
        cause="a scope or an audience is empty or unknown",
        remedy="check the scopes, and providers.NAME.audience",
        source=_ISSUES,
    ),
)


def find_remedy(status: int, text: str, *, service_account: str | None = None) -> str:
    """Return what fixes an error, with the service account concerned; for an unknown error, where to look."""
    entry = recognise(ENTRIES, status, text)
    return UNKNOWN_REMEDY if entry is None else entry.remedy.format(service_account=service_account or "the account")


def find_exchange_remedy(subject_token_type: str, status: int, text: str) -> str:
    """Return what fixes a refused exchange.

    Args:
        subject_token_type: What was sent, a URN of RFC 8693, section 3.
        status: The HTTP status.
        text: What STS answered.
    """
    entry = recognise(ENTRIES, status, text)
    is_opaque = subject_token_type.endswith(":access_token") and status == _BAD_REQUEST
    if is_opaque and (entry is None or entry.name == _UNPARSED):
        return OPAQUE_REMEDY
    return find_remedy(status, text)
