"""What an OpenID provider publishes about itself, and the keys that verify its tokens.

OpenID Connect Discovery 1.0, section 4. A service account that signs in its own name has no discovery document; Google
publishes its keys below www.googleapis.com (`refresher.resources.account_keys_url`). The keys are for explaining a
token to people: STS verifies by itself. Each function raises a `SupplyError` if a server refused, or did not answer, or
answered something else.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from refresher.errors import SupplyError
from refresher.google.call import Call, Transport
from refresher.resources import account_keys_url
from refresher.text import quote

_ACCOUNT = re.compile(r"[a-z0-9.-]+@[a-z0-9.-]+\.gserviceaccount\.com")


def discover(transport: Transport, issuer: str) -> dict[str, Any]:
    """Return the discovery document of an issuer, which must be an https URL and the document's own `issuer`."""
    if not is_secure(issuer):
        raise SupplyError(f"the issuer {quote(issuer)} is not an https URL", "use the `iss` of an OpenID provider")
    call = Call(
        asked=f"the discovery document of {issuer}",
        method="GET",
        url=f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        service="other",
        explain=_explain,
        verify="make the issuer's URL exactly the `issuer` of its discovery document",
    )
    document = call.fetch_document(transport)
    if document.get("issuer") != issuer:
        raise call.reject(f"is of the issuer {quote(str(document.get('issuer')))}")
    return document


def fetch_keys(transport: Transport, issuer: str) -> list[dict[str, Any]]:
    """Return the JWKs of an issuer, which is an https URL or a service account's e-mail."""
    if _ACCOUNT.fullmatch(issuer) is not None:
        return fetch_key_set(transport, account_keys_url(issuer))
    url = discover(transport, issuer).get("jwks_uri")
    if not isinstance(url, str) or not is_secure(url):
        problem = f"the discovery document of {issuer} has no https `jwks_uri`"
        raise SupplyError(problem, "correct it where the issuer serves it")
    return fetch_key_set(transport, url)


def fetch_key_set(transport: Transport, url: str) -> list[dict[str, Any]]:
    """Return the JWKs at a URL."""
    call = Call(
        asked=f"the keys at {url}", method="GET", url=url, service="other", explain=_explain, verify="check that URL"
    )
    keys = call.fetch_document(transport).get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise call.reject("is not a JWKS")
    return keys


def is_secure(url: str) -> bool:
    """Return whether a URL is of a host that is called by https."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return url.isprintable() and bool(parts.hostname) and parts.scheme == "https"


def _explain(status: int, _text: str) -> str:
    return "check the issuer's URL" if 400 <= status < 500 else "wait, and see the log of the issuer"  # noqa: PLR2004
