"""Google's refusals as data: the exact texts, in the two shapes that its services use.

STS answers flat OAuth errors (RFC 6749, section 5.2), the others `google.rpc.Status`. Ids are those of the catalogue in
`docs/emulator.md`.
"""

from __future__ import annotations

from typing import Any

_INVALID_AUDIENCE = (
    'Invalid value for "audience". This value should be the full resource name of the Identity Provider. See '
    "https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token for the list of possible formats."
)
_INVALID_TARGET = (
    'The target service indicated by the "audience" parameters is invalid. This might either be because the pool or '
    "provider is disabled or deleted or because it doesn't exist."
)
_SUBJECT_TOO_LONG = (
    "The size of mapped attribute google.subject exceeds the 127 bytes limit. Either modify your attribute mapping or "
    "the incoming assertion to produce a mapped attribute that is less than 127 bytes."
)
_UNAUTHENTICATED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_LIFETIME_TOO_LONG = (
    "The requested access tokens can not have lifetimes of more than 1 hour. Use the Org Policy Constraint "
    "constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours."
)

STS = {
    "E1": ("invalid_request", "Scope(s) must be provided."),
    "E2": ("invalid_request", _INVALID_AUDIENCE),
    "E3": ("invalid_request", _SUBJECT_TOO_LONG),
    "E4": ("invalid_target", _INVALID_TARGET),
    "E5": ("invalid_grant", "The audience in ID Token [{audience}] does not match the expected audience."),
    "E6": ("invalid_grant", "The issuer in ID Token {issuer} does not match the expected one in config: {expected}"),
    "E7": ("invalid_grant", "ID Token issued at {issued_at} is stale to sign-in."),
    "E8": ("invalid_grant", "ID Token issued at null is stale to sign-in."),
    "E9": ("invalid_grant", "Unable to parse the ID Token."),
    "E10": ("invalid_grant", "Error connecting to the given credential's issuer."),
    "E11": ("invalid_grant", "Unable to verify the ID Token signature."),
    "E14": ("unauthorized_client", "Could not obtain a value for google.subject from the given credential."),
    "empty_subject_token": ("invalid_request", "subject_token must be nonempty."),
    "empty_subject_token_type": ("invalid_request", "subject_token_type must be nonempty."),
    # wordings of our own: what the real STS says to these is not known
    "grant_type": ("unsupported_grant_type", "Invalid grant_type."),
    "requested_token_type": ("invalid_request", "Invalid requested_token_type."),
    "subject_token_type": ("invalid_request", "Invalid subject_token_type for this audience."),
    "algorithm": ("invalid_grant", "Unsupported algorithm in the ID Token header."),
}

API = {
    "I1": (403, "PERMISSION_DENIED", "Permission '{permission}' denied on resource (or it may not exist)."),
    "I3": (403, "PERMISSION_DENIED", "Request had insufficient authentication scopes."),
    "I4": (404, "NOT_FOUND", "Not found; Gaia id not found for email {email}"),
    "I6": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "I8": (400, "INVALID_ARGUMENT", "Lifetime of access token must be larger then zero."),
    "I9": (400, "INVALID_ARGUMENT", _LIFETIME_TOO_LONG),
    "I10": (401, "UNAUTHENTICATED", _UNAUTHENTICATED),
    "not_found": (404, "NOT_FOUND", "Requested entity was not found."),
    "no_method": (404, "NOT_FOUND", "Method not found."),
    "bad_body": (400, "INVALID_ARGUMENT", "Invalid JSON payload received."),
    "too_large": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."),
    "internal": (500, "INTERNAL", "Internal error encountered."),
}

_REASONS = {
    "I1": "IAM_PERMISSION_DENIED",
    "I3": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
}


class Refusal(Exception):  # noqa: N818 - an answer of Google's, not a failure of ours
    """An answer other than success: its status and its JSON document.

    Attributes:
        status: The HTTP status.
        document: The body.
        entry: The id in the catalogue.
    """

    def __init__(self, status: int, document: dict[str, Any], entry: str) -> None:
        super().__init__(entry)
        self.status = status
        self.document = document
        self.entry = entry


def sts_refusal(entry: str, **facts: object) -> Refusal:
    """Give an STS error by its id in the catalogue; E15 is the only one that is not HTTP 400."""
    code, text = STS[entry]
    return Refusal(400, {"error": code, "error_description": text.format(**facts)}, entry)


def api_refusal(entry: str, *, service: str = "iam.googleapis.com", **facts: object) -> Refusal:
    """Give an error in the shape of `google.rpc.Status`, with ErrorInfo where Google sends it."""
    status, code, text = API[entry]
    error: dict[str, Any] = {"code": status, "message": text.format(**facts), "status": code}
    if entry in _REASONS:
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": _REASONS[entry], "domain": service}
        error["details"] = [info | {"metadata": {name: str(value) for name, value in facts.items()}}]
    return Refusal(status, {"error": error}, entry)
