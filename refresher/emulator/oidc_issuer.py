"""OIDC issuers: Google's own (accounts.google.com), and discovery of the others for providers without uploaded keys.

OpenID Connect Discovery 1.0, section 4. The emulator answers for Google's issuer itself. Like STS, it asks any other
issuer over the network, through `Cloud.discover`, and caches the answer for a while.
"""

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from refresher.emulator.account_keys import create_certificate
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal, sts_refusal
from refresher.emulator.http import Call, Reply, Route
from refresher.emulator.tokens import GOOGLE_ISSUER

KEPT = 300
"""For how many seconds discovered keys are used without asking again; Google's own time is unknown."""

_TIMEOUT_SECONDS = 5
_LARGEST = 1024 * 1024


class KeysNeeded(Exception):  # noqa: N818 - not a failure: the rule runs again once the keys are there
    """An issuer must be asked for its keys. Rules don't do that themselves, since all other requests would wait."""

    def __init__(self, issuer: str) -> None:
        super().__init__(issuer)
        self.issuer = issuer


def find_key_set(cloud: Cloud, call: Call, issuer: str) -> dict[str, Any] | None:
    """Return the JWKS of an issuer; None if it is not available.

    Raises:
        KeysNeeded: The issuer must be asked first.
        Refusal: E19 if its discovery document has another issuer.
    """
    if issuer == GOOGLE_ISSUER:
        return cloud.vault.jwks
    found, fetched_at = cloud.key_sets.get(issuer, (None, 0.0))
    is_known = isinstance(found, dict) and abs(cloud.now() - fetched_at) < KEPT
    if not is_known and not call.keys_discovered:
        raise KeysNeeded(issuer)
    if isinstance(found, Refusal):
        raise found
    return found


def discover(issuer: str) -> dict[str, Any] | Refusal | None:
    """Ask an issuer for its JWKS over the network.

    Returns None without a valid answer, and E19 if the discovery document has another issuer: every character counts,
    even a slash at the end (OpenID Connect Discovery 1.0, section 4.3).
    """
    document = _fetch(f"{issuer.removesuffix('/')}/.well-known/openid-configuration")
    if document is None or not isinstance(document.get("issuer"), str):
        return None
    if document["issuer"] != issuer:
        return sts_refusal("E19")
    return _fetch(str(document.get("jwks_uri")))


def show_configuration(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Show the discovery document of Google's issuer."""
    return Reply(
        document={
            "issuer": GOOGLE_ISSUER,
            "jwks_uri": f"{cloud.origin}/oauth2/v3/certs",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
    )


def show_jwks(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Show the keys of Google's issuer."""
    return Reply(document=cloud.vault.jwks)


def show_certificates(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Show the keys of Google's issuer as certificates, with which most libraries verify ID tokens."""
    return Reply(document={cloud.vault.key_id: create_certificate(cloud.vault.key, "accounts.google.com", cloud.now())})


def _fetch(url: str) -> dict[str, Any] | None:
    if urlsplit(url).scheme not in ("http", "https"):
        return None
    try:
        with urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the scheme was checked
            document = json.loads(answer.read(_LARGEST))
    except (URLError, OSError, ValueError, RecursionError, HTTPException):
        return None
    return document if isinstance(document, dict) else None


ROUTES = (
    Route("accounts.configuration", "GET", "/.well-known/openid-configuration", show_configuration),
    Route("accounts.certs", "GET", "/oauth2/v3/certs", show_jwks),
    Route("accounts.certs", "GET", "/oauth2/v1/certs", show_certificates),
)
