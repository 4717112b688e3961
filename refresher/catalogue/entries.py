"""The known failures of `failures.toml` and `local.toml`: which one an error is, and what to do about it."""

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from refresher.durations import format_span

UNKNOWN_REMEDY = "look this message up in Google's documentation of workload identity federation"

OPAQUE_REMEDY = (
    "use a supplier of JWTs, such as google_id_token or self_issued: Google's STS accepts no opaque access token for a "
    "workload identity pool"
)
"""Google documents that it refuses (guide to other providers), and in which words is not published."""

SERVER_REMEDY = "wait some minutes: Google's side failed, and what is published is kept"
JWKS_COMMAND = "refresher keys jwks --supplier NAME > jwks.json"
UPLOAD_COMMAND = (
    "gcloud iam workload-identity-pools providers update-oidc "
    "projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER --jwk-json-path=jwks.json"
)
"""How keys are uploaded, where supplier and provider are not known."""
_APIS = {
    "Service Account Credentials": "iamcredentials.googleapis.com",
    "Security Token Service": "sts.googleapis.com",
    "Key Management Service": "cloudkms.googleapis.com",
}
"""The APIs that we call, by a part of their titles, by which Google names one that is disabled."""

_PROJECT = re.compile(r"in project ([a-z0-9:.-]*[a-z0-9])")
_QUOTA_PROJECT = re.compile(r"to use project ([a-z0-9:.-]*[a-z0-9])")
_MEMBER = re.compile(r"principal:[^'\s]+|serviceAccount:[^'\s@]+@[^'\s@]+")
_ATTRIBUTE = re.compile(r"(?:attribute|google)\.[a-z0-9_]+")
_ACCOUNT_PROJECT = re.compile(r"@([a-z0-9-]+(?:\.[a-z0-9-]+)?)\.iam\.gserviceaccount\.com$")
_ISSUED = re.compile(r"issued at ([0-9]{10,13})\b")
_DIGITS = 10
"""Of a time in seconds, until 2286."""
_UNPARSED = "E9"
OF_TIMES = ("E7",)
"""Entries of refusals for the times of a token, which a wrong clock of this machine causes."""

HTML_PAGE = "an HTML page"
"""How the message of an error begins that is a page for people, which no API sends; followed by its title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One known failure.

    Attributes:
        service: What reports it: `google` for STS and IAM Credentials, `kms` for Cloud KMS, `any` for both; `client`
            for what a client of Google's prints, `local` for what `refresher doctor` finds on the worker.
        status: HTTP status; 0 for any.
        texts: Parts of the message, of which one is enough.
        cause: Why it happens; one phrase.
        remedy: Imperative; may contain the facts of `find_remedy` in braces.
        source: Where it is documented, or `measured`.
        link: The part of the chain that is broken; `set-up` for what only gcloud and Terraform meet; empty for the part
            that sent the call.
        by_status: Whether the status alone is enough too.
        is_missing_role: Whether the caller lacks a role; a module that knows the caller replaces the remedy.
        is_verified: Whether the source shows these very words.
    """

    name: str
    service: str
    status: int
    texts: tuple[str, ...]
    cause: str
    remedy: str
    source: str
    link: str = ""
    by_status: bool = False
    is_missing_role: bool = False
    is_verified: bool = True

    def is_in(self, message: str) -> bool:
        """Return whether a message contains one of the texts."""
        return any(text in message for text in self.texts)


@cache
def read_entries() -> tuple[Entry, ...]:
    """Return all entries; of those that recognise an error the first counts."""
    texts = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("failures.toml", "local.toml")]
    rows = [row for text in texts for row in tomllib.loads(text)["entry"]]
    return tuple(Entry(**{**row, "texts": tuple(row["texts"])}) for row in rows)


def get_entry(name: str) -> Entry | None:
    """Return the entry of this name; None for none, as for a failure that is not recognised."""
    return next((entry for entry in read_entries() if entry.name == name), None)


def get_remedy(name: str) -> str:
    """Return the remedy of the entry of this name, for a failure that a message does not show."""
    entry = get_entry(name)
    if entry is None:
        raise LookupError(name)
    return compose_remedy(entry, "")


def recognise_message(message: str) -> Entry | None:
    """Return the entry of a message that any program printed, of unknown HTTP status; None for an unknown one."""
    return next((entry for entry in read_entries() if entry.is_in(message)), None)


def recognise(status: int, text: str, *, service: str = "google") -> Entry | None:
    """Return the entry of an error by its HTTP status and the server's message; None for an unknown one.

    Of a `service` that the catalogue does not know, no entry is returned.
    """
    services = (service, "any") if service in ("google", "kms") else ()
    for entry in read_entries():
        if entry.service in services and entry.status in (0, status) and (entry.by_status or entry.is_in(text)):
            return entry
    return None


def name_refusal(status: int, text: str, *, service: str) -> str:
    """Return the name of the entry of an error; of one that is not recognised, `server` from 500 on, else `unknown`.

    It is empty for a service that the catalogue does not know.
    """
    entry = recognise(status, text, service=service)
    if entry is not None or service == "other":
        return entry.name if entry is not None else ""
    return "server" if status >= 500 else "unknown"  # noqa: PLR2004 - server errors


def find_remedy(status: int, text: str, *, service: str = "google", **facts: str) -> str:
    """Return what fixes an error with this HTTP status and message; for an unknown error, where to look.

    The remedies of `google` mention the `service_account`, the `caller`, the name of the `provider` in the
    configuration, its `resource` name, the `quota_account` that uses the quota project too, the token's `file`, the
    commands that print the `jwks` and `upload` it, and the time `now` (ISO 8601); those of `kms` the `key` and
    `caller`: `facts` name them.
    """
    entry = recognise(status, text, service=service)
    if entry is None:
        return SERVER_REMEDY if status >= 500 else UNKNOWN_REMEDY  # noqa: PLR2004 - server errors
    return compose_remedy(entry, text, **facts)


def compose_remedy(entry: Entry, text: str, **facts: str) -> str:
    """Return the remedy of an entry, with the facts of `find_remedy` and what the server's message names."""
    named = {
        "service_account": "ACCOUNT",
        "provider": "NAME",
        "key": "KEY",
        "caller": "the caller",
        "jwks": JWKS_COMMAND,
        "upload": UPLOAD_COMMAND,
        "once": "refresher once TARGET",
        **facts,
    }
    found = _PROJECT.search(text), _QUOTA_PROJECT.search(text), _ATTRIBUTE.search(text)
    named["project"] = found[0][1] if found[0] else "PROJECT"
    named |= _name_quota_project(found[1][1] if found[1] else "", named["caller"], facts.get("quota_account"))
    named["attribute"] = found[2][0] if found[2] else "the attribute"
    if "resource" in named:
        named["pool"] = named["resource"].partition("/providers/")[0]
    account = _ACCOUNT_PROJECT.search(named["service_account"])
    named["account_project"] = account[1] if account else "PROJECT"
    named["issued"] = _describe_issue(text, facts.get("now"))
    apis = [api for title, api in _APIS.items() if api in text or title in text]
    named["api"] = apis[0] if apis else "API"
    return entry.remedy.format_map(_Named(named))


def _name_quota_project(project: str, caller: str, account: str | None) -> dict[str, str]:
    """Return who needs a role on a quota project, and the project with the commands that grant it.

    Clients name the project when they impersonate, as the caller, and then in each call as the account.
    """
    members = [caller, *([] if account is None else [f"serviceAccount:{account}"])]
    command = f"gcloud projects add-iam-policy-binding {project} --role=roles/serviceusage.serviceUsageConsumer"
    known = [each for each in members if _MEMBER.fullmatch(each)]
    commands = "; ".join(f"{command} --member='{member}'" for member in known)
    shown = f"project {project}" if project else "the quota project"
    return {
        "quota_users": " and ".join(members),
        "quota_project": f"{shown}: {commands}" if project and commands else shown,
    }


def _describe_issue(text: str, now: str | None) -> str:
    """Return when the token of a message was issued (UTC), and how long before or after `now`; empty if it is unknown.

    Google writes seconds, or milliseconds, since 1970.
    """
    if (found := _ISSUED.search(text)) is None:
        return ""
    seconds = int(found[1]) // (1000 if len(found[1]) > _DIGITS else 1)
    issued_at = datetime.fromtimestamp(seconds, UTC)
    if now is None:
        return f"; the token was issued at {issued_at:%FT%TZ}"
    age = datetime.fromisoformat(now) - issued_at
    way = "before" if age >= timedelta() else "after"
    return f"; the token was issued at {issued_at:%FT%TZ}, {format_span(abs(age))} {way} the time of this machine"


class _Named(dict[str, str]):
    """Facts by name; one that is not known stands as its name in capitals, to be filled in by the reader."""

    def __missing__(self, key: str) -> str:
        return key.upper()


def find_exchange_remedy(subject_token_type: str, status: int, text: str, **facts: str) -> str:
    """Return what fixes a refused exchange of a token of this type (a URN of RFC 8693, section 3); `facts` as above."""
    entry = recognise(status, text)
    is_opaque = subject_token_type.endswith(":access_token") and status == 400  # noqa: PLR2004 - bad request
    if is_opaque and (entry is None or entry.name == _UNPARSED):
        return OPAQUE_REMEDY
    return find_remedy(status, text, **facts)
