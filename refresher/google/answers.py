"""What Google's answers mean: JSON read with care, refusals turned into failures with a remedy.

The remedy comes from `refresher.catalogue`. Only Google's own error text is passed on, never a request or an answer,
and whatever in it looks like a secret is taken out: a server may quote what it was sent.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, quote_plus

from refresher.catalogue import entries
from refresher.errors import (
    ImpersonationError,
    RefresherError,
    SupplyError,
)
from refresher.text import escape

if TYPE_CHECKING:
    from refresher.google.transport import Response


class Kinds(NamedTuple):
    """Which failures a refusal becomes: in general, and for want of a role."""

    failure: type[RefresherError]
    missing_role: type[RefresherError]


class MissingRoleError(ImpersonationError):
    """The caller may not be the service account; which role it needs where is its own affair."""


SUPPLY = Kinds(SupplyError, SupplyError)
IMPERSONATION = Kinds(ImpersonationError, MissingRoleError)

_PASSING = frozenset({408, 429})
_LONGEST_TEXT = 500
_SERVER_ERROR = 500
_SECRETS = re.compile(
    r"""
    eyJ[\w-]*(\.[\w-]*)*            # a JWT, whole or cut off
    | ya29\.[\w.-]+                 # Google's access tokens
    | 1//[\w-]+                     # Google's refresh tokens
    | (?=[\w+/=-]*\d)[\w+/=-]{64,}  # whatever else is long, without a break, and holds a digit
    """,
    re.VERBOSE | re.ASCII,
)


def document_of(response: Response) -> dict[str, Any] | None:
    """Give the JSON object of an answer; None if it holds none."""
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def error_text_of(response: Response, *secrets: str) -> str:
    """Give Google's own words in an error answer; the status where there are none.

    Both shapes are read: `google.rpc.Status` of the APIs, and the flat one of OAuth (RFC 6749, section 5.2).

    Args:
        response: The answer.
        secrets: What was sent and must not come back.
    """
    document = document_of(response) or {}
    error = document.get("error")
    text = error.get("message") if isinstance(error, dict) else document.get("error_description", error)
    return clean(text, *secrets) if isinstance(text, str) and text else f"HTTP {response.status}"


def clean(text: str, *secrets: str) -> str:
    """Give a foreign text on one printable line of at most 500 characters, without what is or looks like a secret."""
    for secret in filter(None, secrets):
        for form in forms_of(secret):
            text = text.replace(form, "…")
    return escape(" ".join(_SECRETS.sub("…", text).split()), longest=_LONGEST_TEXT)[:_LONGEST_TEXT]


def forms_of(secret: str) -> tuple[str, ...]:
    """Give a secret in every form in which a server may quote a request: as it is, of a URL, of a form, of JSON."""
    return (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])


def is_passing(status: int) -> bool:
    """Tell whether an error may pass by itself: 408, 429 and all of 5xx."""
    return status in _PASSING or status >= _SERVER_ERROR


def refusal_of(
    response: Response, asked: str, *secrets: str, service_account: str, kinds: Kinds = SUPPLY
) -> RefresherError:
    """Give the failure that an error answer of IAM Credentials stands for.

    Args:
        response: The answer.
        asked: What was asked of whom, the beginning of the sentence.
        secrets: What was sent and must not come back.
        service_account: Named in the remedy.
        kinds: Of the failure.
    """
    text = error_text_of(response, *secrets)
    entry = entries.recognise(response.status, text)
    passes = is_passing(response.status)
    kind = kinds.missing_role if not passes and entry is not None and entry.is_missing_role else kinds.failure
    remedy = entries.remedy_of(response.status, text, service_account=service_account)
    return kind(f"{asked} was refused with HTTP {response.status}: {text}", remedy, retryable=passes)
