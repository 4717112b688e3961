"""Google's refusals as data: the exact texts, in the two shapes that its services use.

STS and the token endpoint answer with flat OAuth errors (RFC 6749, section 5.2), the other services with
`google.rpc.Status`. The ids are those of the catalogue in `docs/emulator.md`.
"""

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

_PROHIBITED = "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: {identifier}"
_NO_USER_PROJECT = (
    "Caller does not have required permission to use project {project}. Grant the caller the "
    "roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use permission, by "
    "visiting https://console.developers.google.com/iam-admin/iam/project?project={project} and then retry. "
    "Propagation of the new permission may take a few minutes."
)
_NO_CREDENTIAL = (
    "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_CONCURRENT = "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."
_NO_POOL = (
    "Identity Pool does not exist ({pool}). Please check that you specified a valid resource name as returned in the "
    "`name` attribute in the configuration API."
)
_ACTIVATION = "https://console.developers.google.com/apis/api/{service}/overview?project={project}"
_DISABLED_SERVICE = (
    "{title} has not been used in project {project} before or it is disabled. Enable it by visiting "
    f"{_ACTIVATION} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to "
    "our systems and retry."
)
_ACCOUNT_EXISTS = "Service account {account} already exists within project projects/{project}."
_SHORT_LIVED = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp "
    "values in the JWT claim."
)
_NOT_DELEGATED = (
    "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the "
    "scopes requested."
)
_THROTTLED = "The request was throttled due to rate limit: {quota}. Please retry after a few seconds."
_QUOTA = (
    "Quota exceeded for quota metric '{quota}' and limit '{quota} per minute' of service '{service}' for consumer "
    "'project_number:{project}'."
)

TITLES = {
    "bigquery.googleapis.com": "BigQuery API",
    "cloudkms.googleapis.com": "Cloud Key Management Service (KMS) API",
    "cloudresourcemanager.googleapis.com": "Cloud Resource Manager API",
    "iam.googleapis.com": "Identity and Access Management (IAM) API",
    "iamcredentials.googleapis.com": "IAM Service Account Credentials API",
    "logging.googleapis.com": "Cloud Logging API",
    "monitoring.googleapis.com": "Cloud Monitoring API",
    "orgpolicy.googleapis.com": "Organization Policy API",
    "serviceusage.googleapis.com": "Service Usage API",
    "storage.googleapis.com": "Cloud Storage API",
    "sts.googleapis.com": "Security Token Service API",
}
"""The title of each API, which errors show instead of its host name."""

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
    "E12": ("unauthorized_client", "The given credential is rejected by the attribute condition."),
    "E13": ("quota_exceeded", _THROTTLED),
    "E14": ("unauthorized_client", "Could not obtain a value for google.subject from the given credential."),
    "E16": (
        "invalid_grant",
        "Invalid format of AWS credentials:Error at line 0:0: Unexpected end of stream : expected '{{'",
    ),
    "E19": (
        "invalid_grant",
        "`issuer` claim in OIDC discovery document does not match the issuer specified in the request.",
    ),
    "empty_subject_token": ("invalid_request", "subject_token must be nonempty."),
    "empty_subject_token_type": ("invalid_request", "subject_token_type must be nonempty."),
    # our own wording: the text of the real STS is unknown
    "authorization": ("invalid_request", "The Authorization header must not be a bearer token."),
    "invalid_scope": ("invalid_scope", "Invalid OAuth scope or ID token audience provided."),
    "grant_type": ("unsupported_grant_type", "Invalid grant_type."),
    "requested_token_type": ("invalid_request", "Invalid requested_token_type."),
    "subject_token_type": ("invalid_request", "Invalid subject_token_type for this audience."),
    "algorithm": ("invalid_grant", "Unsupported algorithm in the ID Token header."),
    "options": ("invalid_request", "Invalid options."),
    "access_token": ("invalid_request", "Access tokens are only exchanged to apply a credential access boundary."),
    "boundary": ("invalid_request", "Invalid access boundary: {problem}."),
    "opaque": ("invalid_grant", "The subject token is not a valid access token."),
    "not_text": ("invalid_request", "The mapped attribute {name} must be of type STRING."),
    "too_large": ("invalid_request", "The size of all mapped attributes exceeds the 8192 bytes limit."),
}
"""OAuth error code and text, by id. The texts of the catalogue are Google's, word for word."""

OAUTH = {
    "O1": (400, "invalid_grant", "Bad Request"),
    "O2": (400, "invalid_grant", "Token has been expired or revoked."),
    "O3": (401, "invalid_client", "The OAuth client was not found."),
    "O4": (401, "invalid_client", "The provided client secret is invalid."),
    "O5": (400, "invalid_request", "Could not determine client ID from request."),
    "O6": (400, "invalid_request", "client_secret is missing."),
    "O7": (400, "invalid_grant", "Invalid JWT Signature."),
    "O8": (400, "invalid_grant", "Invalid grant: account not found"),
    "O9": (400, "invalid_grant", _SHORT_LIVED),
    "O10": (400, "invalid_grant", "Invalid JWT: Failed audience check. The right audience is {expected}"),
    "O11": (400, "invalid_scope", "Invalid OAuth scope or ID token audience provided."),
    "O12": (400, "invalid_scope", "{scope} is not a valid audience string."),
    "O13": (401, "unauthorized_client", _NOT_DELEGATED),
    "O14": (400, "invalid_grant", "Not a valid email or user ID."),
    "O15": (400, "unsupported_grant_type", "Invalid grant_type: {grant}"),
    # our own wording: Google's exact text is unknown
    "no_parameter": (400, "invalid_request", "Missing required parameter: {name}"),
    "other_client": (401, "unauthorized_client", "Unauthorized"),
    "ungranted_scope": (400, "invalid_scope", "Bad Request"),
}
"""HTTP status, OAuth error code and text of the token endpoint, by id."""

API = {
    "I1": (403, "PERMISSION_DENIED", "Permission '{permission}' denied on resource{resource} (or it may not exist)."),
    "I2": (403, "PERMISSION_DENIED", "The caller does not have permission"),
    "I3": (403, "PERMISSION_DENIED", "Request had insufficient authentication scopes."),
    "I4": (404, "NOT_FOUND", "Not found; Gaia id not found for email {email}"),
    "I5": (404, "NOT_FOUND", "Requested entity was not found."),
    "I6": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "I7": (400, "INVALID_ARGUMENT", "The access token lifetime cannot exceed 3600 seconds."),
    "I8": (400, "INVALID_ARGUMENT", "Lifetime of access token must be larger then zero."),
    "I9": (400, "INVALID_ARGUMENT", _LIFETIME_TOO_LONG),
    "I10": (401, "UNAUTHENTICATED", _UNAUTHENTICATED),
    "I11": (401, "UNAUTHENTICATED", _UNAUTHENTICATED),
    "I12": (403, "PERMISSION_DENIED", _NO_USER_PROJECT),
    "E15": (500, "INTERNAL", "Internal error encountered."),
    "E17": (403, "PERMISSION_DENIED", _PROHIBITED),
    "T1": (400, "FAILED_PRECONDITION", "Precondition check failed."),
    "T2": (400, "INVALID_ARGUMENT", "Input JWK is not in a valid json format"),
    "T3": (400, "INVALID_ARGUMENT", "Invalid JWKs. Only RSA, EC key types are supported."),
    "T4": (400, "INVALID_ARGUMENT", "Input jwks contains corrupted key material."),
    "T5": (400, "INVALID_ARGUMENT", "Invalid OIDC issuer URI. The scheme must be https."),
    "T5b": (400, "INVALID_ARGUMENT", "Invalid OIDC issuer URI."),
    "T6": (400, "INVALID_ARGUMENT", "The attribute condition must reference one of the provider's claims."),
    "T7": (409, "ALREADY_EXISTS", "Requested entity already exists"),
    "T8": (400, "INVALID_ARGUMENT", _NO_POOL),
    "T9": (403, "PERMISSION_DENIED", "Permission '{permission}' denied on resource{resource} (or it may not exist)."),
    "not_found": (404, "NOT_FOUND", "Requested entity was not found."),
    "no_method": (404, "NOT_FOUND", "Method not found."),
    "bad_body": (400, "INVALID_ARGUMENT", "Invalid JSON payload received."),
    "too_large": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."),
    "timeout": (408, "DEADLINE_EXCEEDED", "The request was not received in time."),
    "too_slow": (504, "DEADLINE_EXCEEDED", "The query takes too long. Narrow its filter."),
    "internal": (500, "INTERNAL", "Internal error encountered."),
    "unauthenticated": (401, "UNAUTHENTICATED", _NO_CREDENTIAL),
    "conflict": (409, "ABORTED", _CONCURRENT),
    "immutable": (400, "INVALID_ARGUMENT", "Attempted to update an immutable field."),
    "no_role": (400, "INVALID_ARGUMENT", "Role {role} is not supported for this resource."),
    "no_member": (400, "INVALID_ARGUMENT", "Service account {email} does not exist."),
    "quota": (429, "RESOURCE_EXHAUSTED", _QUOTA),
    "service_disabled": (403, "PERMISSION_DENIED", _DISABLED_SERVICE),
    "account_exists": (409, "ALREADY_EXISTS", _ACCOUNT_EXISTS),
    "no_account": (404, "NOT_FOUND", "Unknown service account"),
    # our own wording: Google's exact text is unknown
    "bad_field": (400, "INVALID_ARGUMENT", "Invalid value for field {field}."),
    "invalid": (400, "INVALID_ARGUMENT", "{problem}"),
    "precondition": (400, "FAILED_PRECONDITION", "{problem}"),
}  # fmt: skip
"""HTTP status, status code and text, by id. The texts of the catalogue are Google's, word for word."""

_REASONS: dict[str, tuple[str, dict[str, str]]] = {
    "I1": ("IAM_PERMISSION_DENIED", {"permission": "{permission}"}),
    "T9": ("IAM_PERMISSION_DENIED", {"permission": "{permission}"}),
    "I3": ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", {}),
    "I11": ("ACCESS_TOKEN_TYPE_UNSUPPORTED", {"method": "{method}"}),
    "I12": ("USER_PROJECT_DENIED", {"consumer": "projects/{project}"}),
    "quota": ("RATE_LIMIT_EXCEEDED", {"quota_metric": "{quota}", "consumer": "projects/{project}"}),
    "service_disabled": (
        "SERVICE_DISABLED",
        {
            "serviceTitle": "{title}",
            "consumer": "projects/{project}",
            "containerInfo": "{project}",
            "activationUrl": _ACTIVATION,
        },
    ),
    "unauthenticated": ("CREDENTIALS_MISSING", {}),
}
"""The reason and the metadata of ErrorInfo, in addition to the service."""


class Refusal(Exception):  # noqa: N818 - an answer of the emulated Google, not a failure of the emulator
    """An answer other than success.

    Attributes:
        status: The HTTP status.
        document: The body, as JSON.
        entry: The id in the catalogue.
        text: Sent instead of the document, for the few services that don't answer with JSON.
        headers: Additional headers; content type and length are always set.
    """

    def __init__(
        self,
        status: int,
        document: dict[str, Any],
        entry: str,
        *,
        text: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(entry)
        self.status = status
        self.document = document
        self.entry = entry
        self.text = text
        self.headers = headers or {}


def sts_refusal(entry: str, **facts: object) -> Refusal:
    """Return an STS error by its id. E13 has HTTP status 429, the others 400."""
    code, text = STS[entry]
    document = {"error": code, "error_description": text.format(**facts)}
    return Refusal(429 if entry == "E13" else 400, document, entry)


def oauth_refusal(entry: str, **facts: object) -> Refusal:
    """Return an error of the token endpoint by its id."""
    status, code, text = OAUTH[entry]
    return Refusal(status, {"error": code, "error_description": text.format(**facts)}, entry)


def api_refusal(entry: str, *, service: str = "iam.googleapis.com", **facts: object) -> Refusal:
    """Return an error in the shape of `google.rpc.Status`, with ErrorInfo where Google sends it."""
    status, code, text = API[entry]
    facts = {"service": service, "title": TITLES.get(service, service), **facts}
    error: dict[str, Any] = {"code": status, "message": text.format(**facts), "status": code}
    if entry in _REASONS:
        reason, metadata = _REASONS[entry]
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "iam.googleapis.com" if entry in ("I1", "T9") else "googleapis.com",
            "metadata": {"service": service, **{name: value.format(**facts) for name, value in metadata.items()}},
        }
        error["details"] = [info, *(_help(error["message"], info) if entry == "service_disabled" else ())]
    return Refusal(status, {"error": error}, entry)


def _help(message: str, info: dict[str, Any]) -> list[dict[str, Any]]:
    link = {"description": "Google developers console API activation", "url": info["metadata"]["activationUrl"]}
    return [
        {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en-US", "message": message},
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [link]},
    ]
