"""The known failures of `failures.toml`: which one an error is, and what to do about it."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

UNKNOWN_REMEDY = "look this message up in Google's documentation of workload identity federation"

OPAQUE_REMEDY = (
    "use a supplier of JWTs, such as google_id_token or self_issued: Google's STS accepts no opaque access token for a "
    "workload identity pool"
)
"""Google documents that it refuses (guide to other providers), and in which words is not published."""

SERVER_REMEDY = "wait some minutes, then try again, as a daemon does: Google's side failed; what is published is kept"
_APIS = {
    "Service Account Credentials": "iamcredentials.googleapis.com",
    "Security Token Service": "sts.googleapis.com",
    "Key Management Service": "cloudkms.googleapis.com",
}
"""The APIs that we call, by a part of their titles, by which Google names one that is disabled."""

_PROJECT = re.compile(r"in project ([a-z0-9:.-]*[a-z0-9])")
_QUOTA_PROJECT = re.compile(r"to use project ([a-z0-9:.-]*[a-z0-9])")
_ATTRIBUTE = re.compile(r"(?:attribute|google)\.[a-z0-9_]+")
_UNPARSED = "E9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One known failure.

    Attributes:
        service: What reports it: `google` for STS and IAM Credentials, `kms` for Cloud KMS, `any` for both.
        text: A part of the server's message; empty to recognise it by the status alone.
        remedy: Imperative; may contain the facts of `find_remedy` in braces.
        source: Where it is documented or was measured.
        is_missing_role: Whether the caller lacks a role; a module that knows the caller replaces the remedy.
    """

    name: str
    service: str
    status: int
    text: str
    cause: str
    remedy: str
    source: str
    is_missing_role: bool = False


@cache
def read_entries() -> tuple[Entry, ...]:
    """Return all entries; of those that recognise an error the first counts."""
    text = Path(__file__).with_name("failures.toml").read_text(encoding="utf-8")
    return tuple(Entry(**row) for row in tomllib.loads(text)["entry"])


def recognise(status: int, text: str, *, service: str = "google") -> Entry | None:
    """Return the entry of an error by its HTTP status and the server's message; None for an unknown one."""
    for entry in read_entries():
        if entry.service in (service, "any") and entry.status == status and entry.text in text:
            return entry
    return None


def find_remedy(status: int, text: str, *, service: str = "google", **facts: str) -> str:
    """Return what fixes an error with this HTTP status and message; for an unknown error, where to look.

    The remedies of `google` mention the `service_account`, the `caller`, the name of the `provider` in the
    configuration and the token's `file`, those of `kms` the `key` and `caller`: `facts` name them.
    """
    entry = recognise(status, text, service=service)
    if entry is None:
        return SERVER_REMEDY if status >= 500 else UNKNOWN_REMEDY  # noqa: PLR2004 - server errors
    named = {"service_account": "the account", "caller": "the caller", "provider": "NAME", "file": "FILE", **facts}
    found = _PROJECT.search(text), _QUOTA_PROJECT.search(text), _ATTRIBUTE.search(text)
    named["project"] = found[0][1] if found[0] else "PROJECT"
    named["quota_project"] = f"project {found[1][1]}" if found[1] else "the quota project"
    named["attribute"] = found[2][0] if found[2] else "the attribute"
    apis = [api for title, api in _APIS.items() if api in text or title in text]
    named["api"] = apis[0] if apis else "API"
    return entry.remedy.format(**named)


def find_exchange_remedy(subject_token_type: str, status: int, text: str, **facts: str) -> str:
    """Return what fixes a refused exchange of a token of this type (a URN of RFC 8693, section 3); `facts` as above."""
    entry = recognise(status, text)
    is_opaque = subject_token_type.endswith(":access_token") and status == 400  # noqa: PLR2004 - bad request
    if is_opaque and (entry is None or entry.name == _UNPARSED):
        return OPAQUE_REMEDY
    return find_remedy(status, text, **facts)
