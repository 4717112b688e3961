"""The public keys of whoever signed a token: discovered from its issuer, or those that Google publishes for an account.

OpenID Connect Discovery 1.0, section 4. A service account that signs in its own name has no discovery document; Google
publishes its keys below www.googleapis.com. For explaining a token to people: STS verifies by itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from refresher.google.answers import document_of
from refresher.google.transport import TransportError
from refresher.resources import account_keys_url

if TYPE_CHECKING:
    from refresher.google.transport import Transport

_OK = 200
_ACCOUNT = re.compile(r"[a-z0-9.-]+@[a-z0-9.-]+\.gserviceaccount\.com")


class UnpublishedKeysError(Exception):
    """The keys cannot be had; the message says why, in half a sentence."""


def published_keys(transport: Transport, issuer: str) -> list[dict[str, Any]]:
    """Give the JWKs of an issuer, which is an https URL or a service account's e-mail.

    Raises:
        UnpublishedKeysError: It is neither, does not answer, or answers something else.
    """
    if _ACCOUNT.fullmatch(issuer) is not None:
        return _key_set(transport, account_keys_url(issuer))
    if not _is_secure(issuer):
        raise UnpublishedKeysError(f"the issuer {issuer!r} is no https URL")
    document = _fetch(transport, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    found = document.get("jwks_uri")
    if document.get("issuer") != issuer:
        raise UnpublishedKeysError(f"what answers for {issuer} says that it is {str(document.get('issuer'))[:200]!r}")
    if not isinstance(found, str) or not _is_secure(found):
        raise UnpublishedKeysError(f"the discovery document of {issuer} names no https jwks_uri")
    return _key_set(transport, found)


def _key_set(transport: Transport, url: str) -> list[dict[str, Any]]:
    keys = _fetch(transport, url).get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise UnpublishedKeysError(f"{url} holds no JWKS")
    return keys


def _fetch(transport: Transport, url: str) -> dict[str, Any]:
    try:
        response = transport.request("GET", url, headers={"Accept": "application/json"})
    except TransportError as error:
        raise UnpublishedKeysError(str(error)) from error
    document = document_of(response)
    if response.status != _OK or document is None:
        raise UnpublishedKeysError(f"{url} answered HTTP {response.status} and no document")
    return document


def _is_secure(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and url.isprintable()
