"""The entries: what STS and IAM Credentials say, what it means, and what mends it.

Texts as published by Google or measured against the real services; each entry names its source. An entry is recognised
by a part of the text, the first match counts, so the narrow ones stand first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.catalogue.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN_REMEDY = "look the message up in Google's documentation of workload identity federation"

OPAQUE_REMEDY = (
    "use a supplier of JWTs, such as google_id_token or self_issued: Google's STS takes no opaque access token for a "
    "workload identity pool"
)
"""Google's words for that refusal are in no public record; that it refuses is in its guide to other providers."""

UNPARSED = "E9"
_TROUBLESHOOTING = "https://docs.cloud.google.com/iam/docs/troubleshooting-workload-identity-federation"
_CREDENTIALS = "https://docs.cloud.google.com/iam/docs/create-short-lived-credentials-direct"
_ISSUES = "https://github.com/google-github-actions/auth/blob/main/docs/TROUBLESHOOTING.md"


ENTRIES = (
    Entry(
        name="E1",
        status=400,
        text="Scope(s) must be provided",
        cause="no scope was asked for",
        remedy="ask for https://www.googleapis.com/auth/cloud-platform",
        source=_TROUBLESHOOTING,
    ),
    Entry(
        name="E2",
        status=400,
        text='Invalid value for "audience"',
        cause="the STS audience is not a provider's resource name",
        remedy="mend providers: the project's number (not its id), the pool's id and the provider's id",
        source=_ISSUES,
    ),
    Entry(
        name="E3",
        status=400,
        text="exceeds the 127 bytes limit",
        cause="the mapped subject is too long",
        remedy="choose a shorter `subject`, or map it with extract()",
        source=_TROUBLESHOOTING,
    ),
    Entry(
        name="E4",
        status=400,
        text='The target service indicated by the "audience" parameters is invalid',
        cause="pool or provider does not exist, is disabled, or was made less than five minutes ago",
        remedy="check the project *number*, pool and provider ids under `providers`, and that both are enabled",
        source=_ISSUES,
    ),
    Entry(
        name="E5",
        status=400,
        text="The audience in ID Token",
        cause="the provider lists allowed audiences, and the token's is none of them",
        remedy="set providers.NAME.audience to one of the provider's allowed audiences",
        source=_ISSUES,
    ),
    Entry(
        name="E6",
        status=400,
        text="The issuer in ID Token",
        cause="the token's issuer is not the provider's, to the letter",
        remedy="make suppliers.NAME.issuer and the provider's issuer_uri the same, trailing slash included",
        source=_ISSUES,
    ),
    Entry(
        name="E8",
        status=400,
        text="issued at null is stale",
        cause="the token has no `iat`",
        remedy="let the token carry `iat`, in whole seconds",
        source="measured",
    ),
    Entry(
        name="E7",
        status=400,
        text="is stale to sign-in",
        cause="the token is over, or was issued in the future",
        remedy="set this machine's clock (NTP), and see that the token file is refreshed",
        source="https://github.com/googleapis/google-cloud-go/issues/12440",
    ),
    Entry(
        name=UNPARSED,
        status=400,
        text="Unable to parse the ID Token",
        cause="the file holds no clean JWT",
        remedy="let the token file hold the JWT and nothing else, no newline and no wrapper",
        source="measured",
    ),
    Entry(
        name="E10",
        status=400,
        text="Error connecting to the given credential's issuer",
        cause="the issuer's keys cannot be had, or none of them has the token's `kid`",
        remedy="upload the present keys (refresher keys jwks), and wait five minutes; or make the issuer reachable",
        source=_TROUBLESHOOTING,
    ),
    Entry(
        name="E11",
        status=400,
        text="Unable to verify the ID Token signature",
        cause="the uploaded key with this `kid` is another one",
        remedy="upload the output of refresher keys jwks to the provider again",
        source="measured",
    ),
    Entry(
        name="E12",
        status=400,
        text="rejected by the attribute condition",
        cause="the provider's attribute condition is false for this token",
        remedy="compare the condition with the token's claims (subject prefix, letter case)",
        source=_ISSUES,
    ),
    Entry(
        name="E13",
        status=429,
        text="throttled due to rate limit",
        cause="more than 6,000 exchanges a minute in this project",
        remedy="spread the exchanges, or ask for a higher quota",
        source=_TROUBLESHOOTING,
    ),
    Entry(
        name="E14",
        status=400,
        text="Could not obtain a value for google.subject",
        cause="the claim that google.subject is mapped from is absent",
        remedy="map google.subject from a claim that is always there: assertion.sub",
        source="https://docs.cloud.google.com/iam/docs/workload-identity-federation",
    ),
    Entry(
        name="I1-openid",
        status=403,
        text="iam.serviceAccounts.getOpenIdToken",
        cause="the caller may not have ID tokens of this account",
        remedy="grant the caller roles/iam.serviceAccountOpenIdTokenCreator on {service_account}",
        source=_CREDENTIALS,
        is_missing_role=True,
    ),
    Entry(
        name="I1-delegation",
        status=403,
        text="iam.serviceAccounts.implicitDelegation",
        cause="in a chain of delegates somebody may not go on to the next",
        remedy="let each of the chain have roles/iam.serviceAccountTokenCreator on the next, up to {service_account}",
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
        cause="this exact principal may not act as the account, or the grant is not two minutes old",
        remedy="grant the principal roles/iam.workloadIdentityUser on {service_account}",
        source=_ISSUES,
        is_missing_role=True,
    ),
    Entry(
        name="I3",
        status=403,
        text="insufficient authentication scopes",
        cause="the caller's token lacks the cloud-platform scope",
        remedy="give the machine the cloud-platform access scope, or use other source credentials",
        source="https://docs.cloud.google.com/compute/docs/access/service-accounts#scopes_best_practice",
    ),
    Entry(
        name="E17",
        status=403,
        text="prohibited by organization's policy",
        cause="a service perimeter (VPC Service Controls) keeps the call out",
        remedy="allow sts.googleapis.com and iamcredentials.googleapis.com in the perimeter's ingress rules",
        source="https://docs.cloud.google.com/vpc-service-controls/docs/troubleshooting",
    ),
    Entry(
        name="I12",
        status=403,
        text="serviceusage.serviceUsageConsumer",
        cause="the quota project may not be used by this principal",
        remedy="grant the principal roles/serviceusage.serviceUsageConsumer on the quota project",
        source="https://github.com/google-github-actions/auth/issues/250",
    ),
    Entry(
        name="I2",
        status=403,
        text="The caller does not have permission",
        cause="the caller lacks a permission; Google's older words, and those for a chain of delegates",
        remedy="grant the caller roles/iam.serviceAccountTokenCreator on {service_account}",
        source=_ISSUES,
        is_missing_role=True,
    ),
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
        cause="there is no such account",
        remedy="check the e-mail {service_account}, letter by letter",
        source=_ISSUES,
    ),
    Entry(
        name="I9",
        status=400,
        text="allowServiceAccountCredentialLifetimeExtension",
        cause="more than an hour was asked for",
        remedy="set the identity's lifetime to 1h, or list {service_account} in that organisation policy",
        source=_CREDENTIALS,
    ),
    Entry(
        name="I7",
        status=400,
        text="lifetime cannot exceed 3600 seconds",
        cause="more than an hour was asked for, or this machine's clock is wrong",
        remedy="set the identity's lifetime to 55m, and set this machine's clock (NTP)",
        source=_ISSUES,
    ),
    Entry(
        name="I8",
        status=400,
        text="must be larger then zero",
        cause="a lifetime of zero was asked for",
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
    Entry(
        name="I10",
        status=401,
        text="",
        cause="the source credential is over or not accepted",
        remedy="check the source credentials of the supplier",
        source=_TROUBLESHOOTING,
    ),
    Entry(
        name="quota",
        status=429,
        text="",
        cause="a quota is used up",
        remedy="spread the calls, or ask for a higher quota",
        source="https://docs.cloud.google.com/iam/quotas",
    ),
    Entry(
        name="E15",
        status=500,
        text="",
        cause="Google failed, or the token had about a second to live",
        remedy="wait; if it lasts, see that the token file is refreshed long before its end",
        source="measured",
    ),
)


def recognise(status: int, text: str, among: Iterable[Entry] = ENTRIES) -> Entry | None:
    """Give the entry of an error by its HTTP status and Google's words; None for an unknown one."""
    return next((entry for entry in among if entry.status in (0, status) and entry.text in text), None)


def remedy_of(status: int, text: str, *, service_account: str | None = None) -> str:
    """Give what mends an error, naming the service account concerned; for an unknown error, where to look."""
    entry = recognise(status, text)
    if entry is None:
        return UNKNOWN_REMEDY
    return entry.remedy.format(service_account=service_account or "the service account")
